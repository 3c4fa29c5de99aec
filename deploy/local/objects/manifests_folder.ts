// The folder that stands for the Kubernetes API before the control plane: one JSON file per object, replaced
// whole, so that a reader never sees half of one.
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type KubeObject, objectKey } from "./kube_object.ts"

/** Writes the objects that changed, and removes those that are gone. */
export class ManifestsFolder {
  readonly path: string
  readonly #written = new Map<string, string>()

  constructor(path: string) {
    this.path = path
    mkdirSync(path, { recursive: true })
  }

  /** Makes the folder hold exactly these objects. */
  write(objects: Iterable<KubeObject>): void {
    const present = new Set<string>()
    for (const object of objects) {
      const key = objectKey(object)
      present.add(key)
      const text = JSON.stringify(object)
      if (this.#written.get(key) === text) continue
      const name = fileName(key)
      const temporary = join(this.path, `.${name}`)
      writeFileSync(temporary, text)
      renameSync(temporary, join(this.path, name))
      this.#written.set(key, text)
    }
    for (const key of this.#written.keys()) {
      if (present.has(key)) continue
      rmSync(join(this.path, fileName(key)), { force: true })
      this.#written.delete(key)
    }
  }
}

function fileName(key: string): string {
  return `${key.toLowerCase().replaceAll("/", "_")}.json`
}
