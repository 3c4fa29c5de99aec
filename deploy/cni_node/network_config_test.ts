// The plugin in a node's network configuration: a table of what may be there, and of what others do meanwhile.
import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { PluginEntry } from "./conflist.ts"
import { NetworkConfig } from "./network_config.ts"

const ENTRY: PluginEntry = {
  type: "conduit-cni",
  kubeconfig: "/etc/cni/net.d/conduit-cni-kubeconfig",
  excludeNamespaces: ["kube-system"],
}
/** Later than any file was written. */
const LATER_MS = Date.now() + 3_600_000
let folder = ""

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "conduit-conf-"))
})
afterEach(() => rmSync(folder, { recursive: true }))

function put(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
}

function all(): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder)
      .sort()
      .map(name => [name, readFileSync(join(folder, name), "utf8")]),
  )
}

function sync(entry: PluginEntry = ENTRY): string {
  return new NetworkConfig(folder, entry).sync(LATER_MS)
}

function remove(): void {
  new NetworkConfig(folder, ENTRY).remove()
}

function typesIn(name: string): string[] {
  const { plugins } = JSON.parse(readFileSync(join(folder, name), "utf8")) as { plugins: { type: string }[] }
  return plugins.map(plugin => plugin.type)
}

const LIST = `{"name": "pods",   "cniVersion": "1.0.0",
  "disableCheck": true, "x-own": {"deep": [1, 2.50, null]},
  "plugins": [ {"type": "calico", "mtu": 0, "ipam": {"type": "calico-ipam"}}, {"type": "portmap", "snat": true} ]
}`
const SINGLE = '{"cniVersion":"0.3.1","name":"old","type":"bridge","bridge":"cni0"}'

/** What is in the folder, and what is in force once the plugin is: its file, and the plugins in it. */
const CASES: readonly [string, Record<string, string>, string, string[]][] = [
  ["one list", { "10-calico.conflist": LIST }, "10-calico.conflist", ["calico", "portmap", "conduit-cni"]],
  ["a single plugin", { "10-old.conf": SINGLE }, "10-old.conflist", ["bridge", "conduit-cni"]],
  ["a single plugin as .json", { "10-old.json": SINGLE }, "10-old.conflist", ["bridge", "conduit-cni"]],
  [
    "several: the first by name counts",
    { "20-b.conflist": LIST, "10-a.conf": SINGLE, "99-z.conflist": LIST },
    "10-a.conflist",
    ["bridge", "conduit-cni"],
  ],
  [
    "one that no runtime would load before one that it does",
    {
      "00-bad.conflist": "{",
      "01-none.conflist": '{"plugins":[]}',
      "02-single.conf": '{"name":"x"}',
      "10-calico.conflist": LIST,
    },
    "10-calico.conflist",
    ["calico", "portmap", "conduit-cni"],
  ],
  [
    "files that are no configurations",
    {
      "00-calico-kubeconfig": "secret",
      "05-a.conflist.bak": LIST,
      ".hidden.conflist": SINGLE,
      "10-calico.conflist": LIST,
    },
    "10-calico.conflist",
    ["calico", "portmap", "conduit-cni"],
  ],
]

describe.each(CASES)("with %s", (_, files, target, types) => {
  test("the plugin is put at the end of the one that is in force, once", () => {
    put(files)
    expect(sync()).toBe("added")
    expect(typesIn(target)).toEqual(types)
    const after = all()
    expect(sync()).toBe("there")
    expect(all()).toEqual(after)
  })

  test("and taken out again, byte for byte", () => {
    put(files)
    const before = all()
    sync()
    remove()
    expect(all()).toEqual(before)
  })
})

test("every field that somebody put there is kept, and so is the file's mode", () => {
  put({ "10-calico.conflist": LIST })
  chmodSync(join(folder, "10-calico.conflist"), 0o600)
  sync()
  const { plugins, ...rest } = JSON.parse(readFileSync(join(folder, "10-calico.conflist"), "utf8"))
  const { plugins: before, ...others } = JSON.parse(LIST)
  expect(rest).toEqual(others)
  expect(plugins).toEqual([...before, ENTRY])
  expect(statSync(join(folder, "10-calico.conflist")).mode & 0o777).toBe(0o600)
})

test("a single plugin keeps its network's name and version as a list", () => {
  put({ "10-old.conf": SINGLE })
  sync()
  const { name, cniVersion } = JSON.parse(readFileSync(join(folder, "10-old.conflist"), "utf8"))
  expect({ name, cniVersion }).toEqual({ name: "old", cniVersion: "0.3.1" })
  expect(readdirSync(folder)).not.toContain("10-old.conf")
})

test("no configuration is waited for, and one that somebody may be writing too", () => {
  expect(sync()).toBe("waiting")
  put({ "10-calico.conflist": LIST.slice(0, 40), "99-other.conflist": LIST })
  const now = statSync(join(folder, "10-calico.conflist")).mtimeMs
  expect(new NetworkConfig(folder, ENTRY).sync(now + 1_000)).toBe("waiting")
  expect(typesIn("99-other.conflist")).toEqual(["calico", "portmap"])
  put({ "10-calico.conflist": LIST })
  expect(new NetworkConfig(folder, ENTRY).sync(now + 1_000)).toBe("added")
  expect(typesIn("10-calico.conflist")).toContain("conduit-cni")
  expect(typesIn("99-other.conflist")).not.toContain("conduit-cni")
})

test("one that stays broken holds up nothing", () => {
  put({ "10-calico.conflist": "{", "99-other.conflist": LIST })
  const old = new Date(LATER_MS - 7_200_000)
  utimesSync(join(folder, "10-calico.conflist"), old, old)
  expect(sync()).toBe("added")
})

test("whoever writes the list anew gets the plugin again, and their new text back at the end", () => {
  put({ "10-calico.conflist": LIST })
  sync()
  const anew = LIST.replace('"mtu": 0', '"mtu": 1400')
  writeFileSync(join(folder, "tmp"), anew)
  renameSync(join(folder, "tmp"), join(folder, "10-calico.conflist"))
  expect(sync()).toBe("added")
  expect(typesIn("10-calico.conflist")).toEqual(["calico", "portmap", "conduit-cni"])
  remove()
  expect(all()).toEqual({ "10-calico.conflist": anew })
})

test("a single plugin that is written anew wins over the list made of the old one", () => {
  put({ "10-old.conf": SINGLE })
  sync()
  const anew = SINGLE.replace("cni0", "cni1")
  put({ "10-old.conf": anew })
  sync()
  expect(JSON.parse(readFileSync(join(folder, "10-old.conflist"), "utf8")).plugins[0].bridge).toBe("cni1")
  put({ "10-old.conf": SINGLE })
  remove()
  expect(all()).toEqual({ "10-old.conf": SINGLE })
})

test("what another program added to the list stays when the plugin goes", () => {
  put({ "10-calico.conflist": LIST })
  sync()
  const path = join(folder, "10-calico.conflist")
  const list = JSON.parse(readFileSync(path, "utf8"))
  writeFileSync(path, JSON.stringify({ ...list, plugins: [...list.plugins, { type: "bandwidth" }] }))
  expect(sync()).toBe("added")
  expect(typesIn("10-calico.conflist")).toEqual(["calico", "portmap", "bandwidth", "conduit-cni"])
  remove()
  expect(typesIn("10-calico.conflist")).toEqual(["calico", "portmap", "bandwidth"])
  expect(readdirSync(folder)).toEqual(["10-calico.conflist"])
})

test("another release's entry is replaced, and the original still comes back", () => {
  put({ "10-old.conf": SINGLE })
  sync({ ...ENTRY, kubeconfig: "/elsewhere" })
  expect(sync()).toBe("added")
  const { plugins } = JSON.parse(readFileSync(join(folder, "10-old.conflist"), "utf8"))
  expect(plugins.slice(1)).toEqual([ENTRY])
  remove()
  expect(all()).toEqual({ "10-old.conf": SINGLE })
})

test("a plugin that was left behind without its original goes too", () => {
  put({ "10-calico.conflist": JSON.stringify({ ...JSON.parse(LIST), plugins: [{ type: "calico" }, ENTRY] }) })
  remove()
  expect(typesIn("10-calico.conflist")).toEqual(["calico"])
  sync()
  mkdirSync(join(folder, "50-a.conflist"))
  remove()
  expect(readdirSync(folder).sort()).toEqual(["10-calico.conflist", "50-a.conflist"])
})

test("a network that went away leaves nothing of the plugin", () => {
  put({ "10-calico.conflist": LIST })
  sync()
  rmSync(join(folder, "10-calico.conflist"))
  expect(sync()).toBe("waiting")
  remove()
  expect(all()).toEqual({})
})
