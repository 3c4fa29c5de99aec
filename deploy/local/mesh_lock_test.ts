// One runner per name: also when two begin at the same moment, and never because of one that is dead.
import { expect, test } from "bun:test"
import { lockMesh } from "./mesh_lock.ts"

test("a name is held by one at a time, and free again after it", () => {
  const name = `lock-${process.pid}`
  const first = lockMesh(name)
  expect(first).not.toBeNull()
  expect(lockMesh(name)).toBeNull()
  const other = lockMesh(`${name}-other`)
  expect(other).not.toBeNull()
  other?.release()
  first?.release()
  const again = lockMesh(name)
  expect(again).not.toBeNull()
  again?.release()
})

test("a process that is killed holds nothing", async () => {
  const name = `lock-${process.pid}-killed`
  const source = `import { lockMesh } from "${import.meta.dir}/mesh_lock.ts"
    console.log(lockMesh("${name}") !== null); await Bun.sleep(60_000)`
  const child = Bun.spawn([process.execPath, "-e", source], { stdout: "pipe" })
  const said = await child.stdout.getReader().read()
  expect(Buffer.from(said.value ?? []).toString()).toBe("true\n")
  expect(lockMesh(name)).toBeNull()
  child.kill("SIGKILL")
  await child.exited
  const mine = lockMesh(name)
  expect(mine).not.toBeNull()
  mine?.release()
})
