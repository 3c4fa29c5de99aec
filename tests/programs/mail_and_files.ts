// An SMTP server (aiosmtpd) and an FTP server (vsftpd) with curl: both greet first; FTP opens a second connection.
import { greetingTimes } from "./mariadb.ts"
import type { Program } from "./program.ts"

export const smtp: Program = {
  name: "smtp",
  packages: ["python3-aiosmtpd", "curl"],
  servers: [
    {
      name: "smtp",
      ports: [2525],
      script: `mkdir -p box && rm -rf box && exec /usr/bin/python3 -m aiosmtpd -n -l 0.0.0.0:2525 -c aiosmtpd.handlers.Mailbox "$DIR/box"`,
    },
  ],
  greeting: {
    name: "the greeting comes as fast as without a mesh",
    script: greetingTimes("smtp", 2525),
    varies: true,
  },
  cases: [
    {
      name: "a letter is delivered whole",
      script: `(printf 'Subject: hello\\r\\n\\r\\n'; seq 100000 | sed 's/$/\\r/') > letter
        curl -sS smtp://smtp:2525 --mail-from a@example.org --mail-rcpt b@example.org --upload-file letter &&
        tail -1 box/new/* | tr -d '\\r' && rm box/new/*`,
      prints: "100000",
    },
    {
      name: "a refusal is told as the server said it",
      script:
        "printf 'EHLO x\\r\\nRCPT TO:<a@example.org>\\r\\nQUIT\\r\\n' | socat -t 3 - TCP:smtp:2525 | tr -d '\\r' | tail -2",
      prints: /^503 .*MAIL[^\n]*\n221 Bye$/,
    },
  ],
  seen: { smtp: "tcp" },
}

export const ftp: Program = {
  name: "ftp",
  packages: ["vsftpd", "curl"],
  servers: [
    {
      name: "ftp",
      ports: [2121, 2120],
      script: `mkdir -p root/in && chmod 755 root && chown ftp root/in 2>/dev/null; mkdir -p empty
        head -c 20000000 /dev/urandom > root/file
        printf '%s\\n' listen=YES background=NO listen_port=2121 anonymous_enable=YES local_enable=NO anon_root="$DIR/root" secure_chroot_dir="$DIR/empty" \\
          write_enable=YES anon_upload_enable=YES anon_umask=022 pasv_min_port=2120 pasv_max_port=2120 seccomp_sandbox=NO isolate=NO isolate_network=NO \\
          ftpd_banner=hello use_localtime=NO xferlog_enable=NO > vsftpd.conf
        exec vsftpd "$DIR/vsftpd.conf"`,
    },
  ],
  greeting: {
    name: "the greeting comes as fast as without a mesh",
    script: greetingTimes("ftp", 2121),
    varies: true,
  },
  cases: [
    {
      name: "a file comes whole over a second connection",
      script: "curl -sS ftp://ftp:2121/file | cmp - root/file && echo whole",
      prints: "whole",
    },
    {
      name: "a file goes up, and arrives whole",
      script:
        "head -c 5000000 root/file > up && curl -sS -T up ftp://ftp:2121/in/up && cmp up root/in/up && rm up root/in/up && echo whole",
      prints: "whole",
    },
    { name: "a folder is listed", script: "curl -sS --list-only ftp://ftp:2121/ | sort", prints: "file\nin" },
  ],
  seen: { ftp: "tcp" },
}
