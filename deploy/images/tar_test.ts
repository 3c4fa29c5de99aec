// Archives read by another program than the one that wrote them.
import { expect, test } from "bun:test"
import { type Entry, tarArchive } from "./tar.ts"

const file = (path: string, text: string, mode = 0o644): Entry => ({ path, mode, content: Buffer.from(text) })

function tar(archive: Uint8Array, ...args: string[]): string {
  return Bun.spawnSync(["tar", "--file=-", ...args], { stdin: Buffer.from(archive) }).stdout.toString()
}

test("tar reads every kind of entry, and the folders that nobody named", () => {
  const archive = tarArchive([
    file("usr/bin/run", "x", 0o755),
    { path: "usr/bin/link", mode: 0o777, content: { linkTo: "run" } },
    { path: "tmp", mode: 0o1777, content: "folder" },
  ])
  const listed = tar(archive, "--list", "--verbose", "--numeric-owner")
    .trim()
    .split("\n")
    .map(line => line.replaceAll(/\s+/g, " ").replace(/ 0\/0 (\d+) \S+ \S+/, " $1"))
  expect(listed).toEqual([
    "drwxrwxrwt 0 tmp/",
    "drwxr-xr-x 0 usr/",
    "drwxr-xr-x 0 usr/bin/",
    "lrwxrwxrwx 0 usr/bin/link -> run",
    "-rwxr-xr-x 1 usr/bin/run",
  ])
  expect(tar(archive, "--extract", "--to-stdout", "usr/bin/run")).toBe("x")
})

test("the order in which files are given changes nothing", () => {
  const files = [file("b", "2"), file("a", "1"), file("c/d", "3")]
  expect(Buffer.from(tarArchive(files)).equals(tarArchive(files.toReversed()))).toBe(true)
})

test("paths of up to 255 bytes are kept, longer ones refused", () => {
  const long = `${"folder/".repeat(30)}file`
  expect(tar(tarArchive([file(long, "deep")]), "--extract", "--to-stdout", long)).toBe("deep")
  expect(() => tarArchive([file("x".repeat(101), "")])).toThrow("is too long for an archive")
})
