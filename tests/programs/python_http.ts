// Python's http.server, which answers in HTTP/1.0 and closes, with curl and Python's own client.
import type { Program } from "./program.ts"

export const pythonHttp: Program = {
  name: "python",
  packages: ["python3", "curl"],
  servers: [
    {
      name: "python",
      ports: [8000],
      script:
        "echo hello > page.txt && head -c 20000000 /dev/zero | tr '\\0' x > body && exec /usr/bin/python3 -m http.server 8000",
    },
  ],
  cases: [
    {
      name: "an HTTP/1.0 answer stays one",
      script: "curl -sS -w '%{http_version} %{http_code}\\n' http://python:8000/page.txt",
      prints: "hello\n1 200",
    },
    {
      name: "a body that ends with the connection comes whole",
      script: "curl -sS --fail http://python:8000/body | cmp - body && echo whole",
      prints: "whole",
    },
    {
      name: "a request in HTTP/1.0 without Host is answered",
      script:
        "printf 'GET /page.txt HTTP/1.0\\r\\n\\r\\n' | socat -t 5 - TCP:python:8000 | tr -d '\\r' | grep -E '^(HTTP|hello)'",
      prints: "HTTP/1.0 200 OK\nhello",
    },
    {
      name: "Python's own client reads headers and body",
      script: `/usr/bin/python3 -c '
import urllib.request
for _ in range(3):
    with urllib.request.urlopen("http://python:8000/page.txt") as answer:
        print(answer.status, answer.version, answer.headers["Content-Length"], answer.read())'`,
      prints: Array(3).fill("200 10 6 b'hello\\n'").join("\n"),
    },
    {
      name: "a refused method keeps its status",
      script: "curl -sS -o /dev/null -w '%{http_code}\\n' -X DELETE http://python:8000/page.txt",
      prints: "501",
    },
  ],
  seen: { python: "http" },
}
