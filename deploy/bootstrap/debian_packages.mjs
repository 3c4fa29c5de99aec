// The programs that the demo and the tests call, and the Debian packages they come in: looked for by program, so that
// any Linux which has them will do; installed with apt-get where they are missing and we may.
import { spawnSync } from "node:child_process"
import { accessSync, constants, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"

/** Debian package -> a program of it, or a path that it brings. */
export const MESH = {
  iptables: "iptables",
  iproute2: "ip",
  "util-linux": "nsenter",
  procps: "ps",
}

/** Programs that no one here wrote, whose traffic the tests send through the mesh (tests/programs). */
const FOREIGN = {
  "apache2-utils": "ab",
  curl: "curl",
  iperf3: "iperf3",
  "mariadb-client": "mariadb",
  "mariadb-server": "mariadbd",
  "nghttp2-client": "h2load",
  nginx: "nginx",
  openssl: "openssl",
  prometheus: "prometheus",
  postgresql: "/usr/lib/postgresql/*/bin/postgres",
  // The one that python3-aiosmtpd belongs to, whatever other Python comes first in PATH.
  python3: "/usr/bin/python3",
  "python3-aiosmtpd": "/usr/lib/python3/dist-packages/aiosmtpd",
  // What plugins in Python are made of (tests/programs/plugin_new_test.ts).
  "python3-grpcio": "/usr/lib/python3/dist-packages/grpc",
  "python3-protobuf": "/usr/lib/python3/dist-packages/google/protobuf",
  "redis-server": "redis-server",
  "redis-tools": "redis-cli",
  socat: "socat",
  vsftpd: "vsftpd",
  wrk: "wrk",
}

/** What tests look at the wire with. */
const WIRE = { tcpdump: "tcpdump" }
/** What tests look at the dashboard with; without a font its pictures would show boxes. */
const BROWSER = { chromium: "/usr/bin/chromium", "fonts-dejavu-core": "/usr/share/fonts/truetype/dejavu" }
/** What runs pods beside Kubernetes' own programs (tests/cluster), which are built from Go modules. */
const CLUSTER = {
  ...MESH,
  containerd: "containerd",
  "containernetworking-plugins": "/usr/lib/cni/bridge",
  conntrack: "conntrack",
  curl: "curl",
  "etcd-server": "etcd",
  openssl: "openssl",
  runc: "runc",
}

/** What each purpose needs. */
export const PURPOSES = {
  demo: MESH,
  test: { ...MESH, ...FOREIGN, ...WIRE, ...BROWSER },
  cluster: CLUSTER,
  // Debian's own tools are not to be had elsewhere.
  images: { dpkg: "dpkg-deb" },
  bench: {
    ...MESH,
    haproxy: "haproxy",
    nginx: "nginx",
    "libnginx-mod-stream": "/usr/lib/nginx/modules/ngx_stream_module.so",
  },
}

const POLICY = "/usr/sbin/policy-rc.d"
const SYSTEM_FOLDERS = ["/usr/local/sbin", "/usr/sbin", "/sbin"]

/**
 * Installs what a purpose needs and the machine has not.
 *
 * @returns the packages that are still missing, and a sentence that says why and what to do; null when all is there
 */
export function ensureDebianPackages(purpose) {
  const packages = missingPackages(PURPOSES[purpose])
  if (packages.length === 0) return null
  const list = packages.join(" ")
  if (!isThere("apt-get")) {
    return {
      packages,
      sentence: `missing programs, and no apt-get to install them with; Debian calls them ${list}`,
    }
  }
  if (process.getuid() !== 0) {
    const byHand = `apt-get install --no-install-recommends ${list}`
    return { packages, sentence: `missing Debian packages, and only root can add them: ${byHand}` }
  }
  process.stderr.write(`conduit: installing Debian packages with apt-get: ${list}\n`)
  const problem = install(packages)
  const still = missingPackages(PURPOSES[purpose])
  if (still.length === 0) return null
  const sentence = `Debian packages that apt-get could not install (${problem ?? "no error told"}): ${still.join(" ")}`
  return { packages: still, sentence }
}

function missingPackages(wanted) {
  return Object.entries(wanted).flatMap(([name, program]) => (isThere(program) ? [] : [name]))
}

function isThere(program) {
  if (program.startsWith("/")) return findPattern(program)
  const folders = [...(process.env.PATH ?? "").split(delimiter), ...SYSTEM_FOLDERS]
  return folders.some(folder => isExecutable(join(folder, program)))
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** A path, perhaps with one `*` for a folder's name. (Node.js 20 has no glob.) */
function findPattern(pattern) {
  const [before, after] = pattern.split("*")
  if (after === undefined) return existsSync(pattern)
  const folder = before.replace(/\/$/, "")
  return existsSync(folder) && readdirSync(folder).some(name => isExecutable(`${folder}/${name}${after}`))
}

/** Runs apt-get; no service is started, then or at the next boot of a container. Returns what went wrong, or null. */
function install(packages) {
  // policy-rc.d is Debian's way to say "start nothing"; one that is there already is the machine's own, and stays.
  const ours = !existsSync(POLICY)
  if (ours) writeFileSync(POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 })
  const removeOurs = () => ours && rmSync(POLICY, { force: true })
  process.once("exit", removeOurs)
  try {
    if (!hasPackageLists()) aptGet(["update"])
    const args = ["install", "--yes", "--no-install-recommends", ...packages]
    if (aptGet(args) === null) return null
    // Lists that are there may be too old to find the files they name.
    return aptGet(["update"]) ?? aptGet(args)
  } finally {
    removeOurs()
  }
}

function hasPackageLists() {
  const folder = "/var/lib/apt/lists"
  return existsSync(folder) && readdirSync(folder).some(name => name.includes("_Packages"))
}

/** Runs apt-get, its output on standard error only when it fails. Returns what went wrong, or null. */
function aptGet(args) {
  const result = spawnSync(
    "apt-get",
    ["--quiet", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0", ...args],
    {
      encoding: "utf8",
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1", LC_ALL: "C.UTF-8" },
      maxBuffer: 64 * 1024 * 1024,
      stdio: ["ignore", "pipe", "pipe"],
    },
  )
  if (result.error) return result.error.message
  if (result.status === 0) return null
  const said = result.stderr
    .trim()
    .split("\n")
    .filter(line => line.startsWith("E:"))
  return said.join("; ") || `apt-get ${args[0]} ended with exit code ${result.status}`
}
