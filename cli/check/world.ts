// What a check may ask: of the control plane's API, and of the pods and certificates that a Kubernetes cluster or a
// local mesh tells in its own way. Answers are kept until `forget`, since many checks need the same ones.
import type { ApiClient, CheckResponse } from "../../protos/mod.ts"

/** A pod as checks see it. */
export interface PodFacts {
  readonly namespace: string
  readonly name: string
  readonly ready: boolean
  /** Has ended, or is about to. */
  readonly over: boolean
  /** Why it is not ready; empty when it is, or nothing is known. */
  readonly reason: string
  /** From its annotation; empty when it has none. */
  readonly proxyVersion: string
}

/** What the mesh's identity rests on, as its texts are. */
export interface AuthorityText {
  /** PEM bundle; empty for a control plane without identity. */
  readonly anchors: string
  /** PEM, the issuer first. */
  readonly issuer: string
  /** PEM; null where nobody tells it. */
  readonly issuerKey: string | null
}

/** Which mesh is looked at, and how it is asked. */
export interface WorldOptions {
  /** Namespace of the control plane. */
  readonly planeNamespace: string
  /** Namespace whose workloads are looked at; empty for all. */
  readonly namespace: string
  /** Version of this program. */
  readonly version: string
  /** Calls the control plane's API. @throws Failure as `withApi` */
  readonly ask: <T>(call: (api: ApiClient) => Promise<T>) => Promise<T>
}

/** What every place has. */
export abstract class World {
  readonly planeNamespace: string
  readonly namespace: string
  readonly version: string
  readonly ask: WorldOptions["ask"]
  private readonly kept = new Map<string, Promise<unknown>>()

  constructor({ planeNamespace, namespace, version, ask }: WorldOptions) {
    this.planeNamespace = planeNamespace
    this.namespace = namespace
    this.version = version
    this.ask = ask
  }

  /** Pods of the control plane. */
  abstract controlPods(): Promise<readonly PodFacts[]>
  /** Pods with a proxy, of the namespace that is looked at. */
  abstract meshedPods(): Promise<readonly PodFacts[]>
  /** What identity rests on. */
  abstract authority(): Promise<AuthorityText>

  /** Wall clock of this machine, milliseconds since 1970. */
  nowMs(): number {
    return Date.now()
  }

  /** What the control plane finds wrong. */
  told(): Promise<CheckResponse> {
    return this.once("told", () => this.ask(api => api.check({ namespace: this.namespace })))
  }

  /** Everything is asked anew. */
  forget(): void {
    this.kept.clear()
  }

  /** An answer that is asked for once. */
  protected once<T>(what: string, ask: () => Promise<T>): Promise<T> {
    const known = this.kept.get(what)
    if (known !== undefined) return known as Promise<T>
    const asked = ask()
    this.kept.set(what, asked)
    return asked
  }
}
