// openssl's own server and client: TLS that belongs to the application, and that no proxy may decrypt.
import type { Program } from "./program.ts"

export const openssl: Program = {
  name: "openssl",
  packages: ["openssl", "curl"],
  prepare: `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=openssl -addext subjectAltName=DNS:openssl,DNS:files -keyout key.pem -out cert.pem 2>/dev/null &&
    head -c 100000000 /dev/urandom > file && sha256sum < file > file.sum`,
  servers: [
    {
      name: "openssl",
      ports: [8443],
      script: `exec openssl s_server -accept 8443 -cert $SHARED/cert.pem -key $SHARED/key.pem -rev -quiet`,
    },
    {
      name: "files",
      ports: [8444],
      script: `cd $SHARED && exec openssl s_server -accept 8444 -cert cert.pem -key key.pem -WWW -quiet`,
    },
  ],
  cases: [
    ...["1_2", "1_3"].map(version => ({
      name: `the certificate is the server's own, and lines come back, with TLS ${version.replace("_", ".")}`,
      script: `(echo mesh; sleep 1) | openssl s_client -connect openssl:8443 -servername openssl -tls${version} -CAfile $SHARED/cert.pem -verify_return_error -verify_hostname openssl -quiet -no_ign_eof 2>/dev/null`,
      prints: "hsem",
    })),
    {
      name: "a client without SNI is served",
      script:
        "(echo mesh; sleep 1) | openssl s_client -connect openssl:8443 -noservername -CAfile $SHARED/cert.pem -verify_return_error -quiet -no_ign_eof 2>/dev/null",
      prints: "hsem",
    },
    {
      name: "a client that does not trust the certificate refuses it",
      script: "curl -sS https://files:8444/file -o /dev/null; test $? = 60 && echo refused",
      prints: "refused",
    },
    {
      name: "100 MB come whole under TLS",
      script:
        "curl -sS --http1.1 --cacert $SHARED/cert.pem https://files:8444/file | sha256sum | cmp - $SHARED/file.sum && echo whole",
      prints: "whole",
    },
  ],
  seen: { openssl: "tcp", files: "tcp" },
}
