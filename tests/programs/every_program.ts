// All programs, and the Debian packages that they need.
import { iperf3 } from "./iperf3.ts"
import { ftp, smtp } from "./mail_and_files.ts"
import { mariadb } from "./mariadb.ts"
import { nginx } from "./nginx.ts"
import { grpcJs, webSocket } from "./node_peers.ts"
import { openssl } from "./openssl.ts"
import { postgresql } from "./postgresql.ts"
import type { Program } from "./program.ts"
import { pythonHttp } from "./python_http.ts"
import { redis } from "./redis.ts"

/** Every real program that is run through the mesh. */
export const PROGRAMS: readonly Program[] = [
  nginx,
  pythonHttp,
  grpcJs,
  webSocket,
  openssl,
  redis,
  postgresql,
  mariadb,
  smtp,
  ftp,
  iperf3,
]

/** Debian packages that the programs' tests need, `apt-get install --no-install-recommends` each. */
export const DEBIAN_PACKAGES: readonly string[] = [
  ...new Set([...PROGRAMS.flatMap(program => program.packages), "prometheus", "socat", "util-linux"]),
].sort()
