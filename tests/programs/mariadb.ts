// MariaDB with its own client: the server speaks first, so a mesh that waits for the client would stall.
import type { Program } from "./program.ts"

/** Prints how long each of five greetings took, in milliseconds, connecting included. */
export function greetingTimes(host: string, port: number): string {
  return `/usr/bin/python3 -c '
import socket, time
for _ in range(5):
    start = time.monotonic()
    with socket.create_connection(("${host}", ${port}), 10) as connection:
        assert connection.recv(1) != b"", "closed without a greeting"
        print(round((time.monotonic() - start) * 1000, 1))'`
}

export const mariadb: Program = {
  name: "mariadb",
  packages: ["mariadb-server", "mariadb-client"],
  servers: [
    {
      name: "mariadb",
      ports: [3306],
      script: `mkdir data tmp && chown mysql data tmp
        mariadb-install-db --no-defaults --user=mysql --datadir="$DIR/data" --auth-root-authentication-method=normal --skip-test-db > install.log 2>&1 || { cat install.log; exit 1; }
        printf '%s\\n' "create user guest@'%';" "grant all on *.* to guest@'%';" > init.sql
        exec mariadbd --no-defaults --user=mysql --datadir="$DIR/data" --tmpdir="$DIR/tmp" --socket="$DIR/data/socket" --bind-address=0.0.0.0 --port=3306 --init-file="$DIR/init.sql" --skip-name-resolve --max-allowed-packet=64M --innodb-flush-log-at-trx-commit=0`,
    },
  ],
  greeting: {
    name: "the greeting comes as fast as without a mesh",
    script: greetingTimes("mariadb", 3306),
    varies: true,
  },
  cases: [
    {
      name: "the client asks and is answered",
      script: `mariadb --no-defaults -h mariadb -u guest -BNe "select 6 * 7, version() like '%MariaDB%'"`,
      prints: "42\t1",
    },
    {
      name: "20 MB go in and come back whole",
      script: `head -c 10000000 /dev/urandom | od -An -v -tx1 | tr -d ' \\n' > hex
        (echo -n "create database if not exists d; create or replace table d.t (b longblob); insert into d.t values (x'"; cat hex; echo "');") > insert.sql
        mariadb --no-defaults --max-allowed-packet=64M -h mariadb -u guest < insert.sql &&
        mariadb --no-defaults --max-allowed-packet=64M -h mariadb -u guest -BNe "select lower(hex(b)) from d.t" > back &&
        head -c 20000000 back | cmp - hex && stat -c %s back && rm back hex insert.sql`,
      prints: "20000001",
    },
    {
      name: "a hundred connections one after the other",
      script: `for n in $(seq 100); do echo "select $n;" | mariadb --no-defaults -h mariadb -u guest -BN || exit 1; done | awk '{ sum += $1 } END { print sum }'`,
      prints: "5050",
    },
  ],
  seen: { mariadb: "tcp" },
}
