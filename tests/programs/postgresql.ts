// PostgreSQL with psql: the client asks for TLS in its own way, then either side may talk for long.
import type { Program } from "./program.ts"

/** Runs a command as a user that PostgreSQL and MariaDB accept to be started by: neither wants root. */
const AS_POSTGRES = "setpriv --reuid postgres --regid postgres --clear-groups"

export const postgresql: Program = {
  name: "postgresql",
  packages: ["postgresql"],
  servers: [
    {
      name: "postgresql",
      ports: [5432],
      script: `export PATH=$PATH:$(echo /usr/lib/postgresql/*/bin) LC_ALL=C.UTF-8
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=postgresql -keyout key.pem -out cert.pem 2>/dev/null
        mkdir data && chown postgres data key.pem cert.pem && chmod 600 key.pem
        ${AS_POSTGRES} initdb -D data -A trust --no-sync > initdb.log || { cat initdb.log; exit 1; }
        echo "host all all all trust" >> data/pg_hba.conf
        exec ${AS_POSTGRES} postgres -D data -h 0.0.0.0 -k "" -c fsync=off -c ssl=on -c ssl_cert_file="$DIR/cert.pem" -c ssl_key_file="$DIR/key.pem"`,
    },
  ],
  cases: [
    {
      name: "psql asks and is answered",
      script: `psql "host=postgresql user=postgres sslmode=disable" -Atc "select 6 * 7, version() ~ '^PostgreSQL'"`,
      prints: "42|t",
    },
    {
      name: "psql over PostgreSQL's own TLS",
      script: `psql "host=postgresql user=postgres sslmode=verify-ca sslrootcert=$DIR/cert.pem" -Atc "select ssl from pg_stat_ssl where pid = pg_backend_pid()"`,
      prints: "t",
    },
    {
      name: "COPY takes 100 MB in and gives them back",
      script: `/usr/bin/python3 -c '
for n in range(1000000): print(f"{n}\\t{n * 2654435761 % 2**32:010d}" + "x" * 83)' > rows && stat -c %s rows
        export PGHOST=postgresql PGUSER=postgres PGSSLMODE=disable
        psql -qc "create table copied (id int, text text)" && psql -qc "\\copy copied from rows" &&
        psql -qAtc "select count(*) from copied" && psql -qc "\\copy (select * from copied order by id) to stdout" | cmp - rows && rm rows && echo whole`,
      prints: /^10\d{7}\n1000000\nwhole$/,
      timeoutMs: 120_000,
    },
    {
      name: "a notice wakes a listener that was silent, and a long query is awaited",
      script: `export PGHOST=postgresql PGUSER=postgres PGSSLMODE=disable
        (sleep 1; psql -qc "notify news, 'hello'") & psql -qAt -c "listen news" -c "select pg_sleep(2)" -c "select 1" | sed 's/PID [0-9]*/PID/'; wait`,
      prints: /payload "hello"/,
    },
    {
      name: "a cancelled query ends, by a connection of its own",
      script: `export PGHOST=postgresql PGUSER=postgres PGSSLMODE=disable
        timeout -s INT 1 psql -qAtc "select pg_sleep(30)" 2>&1 | head -1`,
      prints: "Cancel request sent",
    },
  ],
  seen: { postgresql: "tcp" },
}
