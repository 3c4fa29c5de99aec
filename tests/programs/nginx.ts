// nginx with curl, ab, wrk and h2load: HTTP/1.0 to HTTP/2, small and very large.
import type { Program } from "./program.ts"

const GIBIBYTE = 1_073_741_824

const CONFIGURATION = `
daemon off;
worker_processes 1;
user root;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  client_max_body_size 0;
  keepalive_requests 1000000;
  etag off;
  server {
    listen 8080;
    listen 8081 http2;
    root $SHARED/files;
    location /upload/ { root $DIR; dav_methods PUT; create_full_put_path on; }
    location = /status { add_header X-Mixed-Case kept always; return 418 "teapot\\n"; }
    location = /empty { return 204; }
  }
}`

export const nginx: Program = {
  name: "nginx",
  packages: ["nginx", "curl", "apache2-utils", "wrk", "nghttp2-client"],
  prepare: `mkdir files && echo "hello from nginx" > files/index.html &&
    openssl enc -aes-128-ctr -nosalt -pass pass:conduit -pbkdf2 -iter 1 < /dev/zero 2>/dev/null | head -c ${GIBIBYTE} > files/gibibyte &&
    head -c 104857600 files/gibibyte > files/large && sha256sum < files/gibibyte > gibibyte.sum && sha256sum < files/large > large.sum`,
  servers: [
    {
      name: "nginx",
      ports: [8080, 8081],
      script: `mkdir -p upload body && chmod 777 upload && cat > nginx.conf <<EOF\n${CONFIGURATION}\nEOF
        exec nginx -p "$DIR" -c "$DIR/nginx.conf" -e stderr`,
    },
  ],
  cases: [
    {
      name: "curl gets a page over HTTP/1.1",
      script: "curl -sS --fail http://nginx:8080/",
      prints: "hello from nginx",
    },
    {
      name: "the head of an answer comes as the server sent it, names' case and order included",
      script: "curl -sS -i http://nginx:8080/status | grep -iv ^date | tr -d '\\r'",
      prints: /^HTTP\/1\.1 418[\s\S]*\nX-Mixed-Case: kept\n/,
    },
    {
      name: "HEAD, 204, 304, 404 and a range have the bodies they should",
      script: `for path in / /empty /none; do curl -sS -I -w '%{http_code} %{size_download}\\n' -o /dev/null http://nginx:8080$path; done
        curl -sS -w '%{http_code} %{size_download}\\n' -o /dev/null http://nginx:8080/empty
        curl -sS -w '%{http_code} %{size_download}\\n' -o /dev/null -z "$(date -R -d tomorrow)" http://nginx:8080/
        curl -sS -w ' %{http_code}\\n' -r 6-9 http://nginx:8080/`,
      prints: "200 0\n204 0\n404 0\n204 0\n304 0\nfrom 206",
    },
    {
      name: "three requests share one connection",
      script:
        "curl -sS -w '%{num_connects}\\n' -o /dev/null http://nginx:8080/ -o /dev/null http://nginx:8080/ -o /dev/null http://nginx:8080/",
      prints: "1\n0\n0",
    },
    {
      name: "HTTP/1.0 is answered",
      script: "curl -sS --http1.0 -w '%{http_code}\\n' http://nginx:8080/",
      prints: "hello from nginx\n200",
    },
    {
      name: "1 GiB comes whole over HTTP/1.1",
      script:
        "curl -sS --fail http://nginx:8080/gibibyte | sha256sum | cmp - $SHARED/gibibyte.sum && echo whole",
      prints: "whole",
      timeoutMs: 120_000,
    },
    {
      name: "100 MiB go up with 100-continue, and arrive whole",
      script: `curl -sS --fail -H "Expect: 100-continue" -T $SHARED/files/large http://nginx:8080/upload/continued &&
        sha256sum < upload/continued | cmp - $SHARED/large.sum && rm upload/continued && echo whole`,
      prints: "whole",
    },
    {
      name: "100 MiB go up in chunks, and arrive whole",
      script: `curl -sS --fail -T - http://nginx:8080/upload/chunked < $SHARED/files/large &&
        sha256sum < upload/chunked | cmp - $SHARED/large.sum && rm upload/chunked && echo whole`,
      prints: "whole",
    },
    {
      name: "HTTP/2 with prior knowledge stays HTTP/2",
      script: "curl -sS --http2-prior-knowledge -w '%{http_version} %{http_code}\\n' http://nginx:8081/",
      prints: "hello from nginx\n2 200",
    },
    {
      name: "1 GiB comes whole over HTTP/2",
      script:
        "curl -sS --fail --http2-prior-knowledge http://nginx:8081/gibibyte | sha256sum | cmp - $SHARED/gibibyte.sum && echo whole",
      prints: "whole",
      timeoutMs: 120_000,
    },
    {
      name: "fifty streams at a time over four HTTP/2 connections all succeed",
      script: `h2load -n 2000 -c 4 -m 50 http://nginx:8081/ | grep -E '^(requests|status codes)' | tr -s ' '`,
      prints: /2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout\nstatus codes: 2000 2xx/,
    },
    {
      name: "twenty large answers share one HTTP/2 connection, and come whole",
      script: `h2load -n 20 -c 1 -m 20 http://nginx:8081/large | grep -E '^(requests|traffic)' | grep -oE '20 succeeded|[0-9]+[.]?[0-9]*GB'`,
      prints: /^20 succeeded\n1\.9\dGB/,
      varies: true,
    },
    {
      name: "20 MiB go up over HTTP/2, and arrive whole",
      script: `head -c 20971520 $SHARED/files/large > up && curl -sS --fail --http2-prior-knowledge -T up http://nginx:8081/upload/h2 &&
        cmp up upload/h2 && rm up upload/h2 && echo whole`,
      prints: "whole",
    },
    {
      name: "ab with keep-alive (HTTP/1.0) loses no request",
      script:
        "ab -q -n 3000 -c 16 -k http://nginx:8080/index.html | grep -E '^(Complete|Failed|Non-2xx|Keep-Alive)'",
      prints: "Complete requests:      3000\nFailed requests:        0\nKeep-Alive requests:    3000",
    },
    {
      name: "ab with a connection per request loses no request",
      script: "ab -q -n 1000 -c 8 http://nginx:8080/index.html | grep -E '^(Complete|Failed|Non-2xx)'",
      prints: "Complete requests:      1000\nFailed requests:        0",
    },
    {
      name: "wrk finds no socket error and no bad status",
      script:
        "wrk -t1 -c32 -d2s http://nginx:8080/index.html > wrk.out; grep -E 'Socket errors|Non-2xx' wrk.out; grep -c Requests/sec wrk.out",
      prints: "1",
    },
  ],
  seen: { nginx: "http" },
}
