// Calls to a Kubernetes API server over plain HTTPS: one request, and a watch as a stream of lines. Documents are
// read and let go; nothing is kept here (https://kubernetes.io/docs/reference/using-api/api-concepts/).
import type { CredentialSource, Credentials } from "./credentials.ts"
import { LineReader } from "./line_reader.ts"

/** Longest wait for an answer to one request. */
export const CALL_TIMEOUT_MS = 30_000
/** Objects asked for in one page of a list: kubectl's figure. */
export const LIST_PAGE = 500
/** Largest answer that is read: a page of 500 pods is 5 MB; a server that sends without end is cut here. */
export const MAX_ANSWER_BYTES = 128 * 1024 * 1024

/** `reason` of a KubeError for credentials that cannot be had: nothing was asked. */
export const NO_CREDENTIALS = "NoCredentials"

/** An answer that is none: the server refused, or was not reached. */
export class KubeError extends Error {
  override readonly name = "KubeError"
  /** HTTP status; 0 when no answer came. */
  readonly status: number
  /** Kubernetes' reason, such as `Forbidden` or `Expired`; empty when none was given. */
  readonly reason: string
  /** How long the server asks to wait, in milliseconds; 0 when it does not. */
  readonly retryAfterMs: number

  constructor(message: string, options: { status?: number; reason?: string; retryAfterMs?: number } = {}) {
    super(message)
    this.status = options.status ?? 0
    this.reason = options.reason ?? ""
    this.retryAfterMs = options.retryAfterMs ?? 0
  }

  /** What was asked for is too old to be had (410 Gone). */
  get expired(): boolean {
    return this.status === 410 || this.reason === "Expired" || this.reason === "Gone"
  }
}

/** One request. */
export interface KubeCall {
  readonly method?: "GET" | "POST" | "PATCH" | "DELETE"
  /** Path and query, such as `/api/v1/pods?limit=500`. */
  readonly path: string
  /** Sent as JSON. */
  readonly body?: unknown
  readonly accept?: string
  readonly contentType?: string
  readonly signal?: AbortSignal
}

/** How a watch is read. */
export interface WatchOptions {
  readonly path: string
  readonly accept?: string
  readonly signal: AbortSignal
  /** The connection is given up as dead after this long without a byte. */
  readonly silenceMs: number
  /** The server has accepted the watch. */
  readonly onOpen: () => void
  /** Events of one read, in order; each a parsed line. */
  readonly onEvents: (events: readonly WatchEvent[]) => void
}

/** An event as the API server writes it. */
export interface WatchEvent {
  readonly type: string
  readonly object: unknown
}

/** An API server, as one user. */
export class KubeApi {
  /** Its address, for sentences. */
  readonly server: string
  /** The server's clock at its last answer, milliseconds since 1970, to the second; 0 while it has not told it. */
  clockMs = 0
  private readonly credentials: CredentialSource
  private readonly timeoutMs: number
  private refused = false

  /** @param timeoutMs  longest wait for an answer; CALL_TIMEOUT_MS where nobody waits who is in a hurry */
  constructor(credentials: CredentialSource, timeoutMs: number = CALL_TIMEOUT_MS) {
    this.credentials = credentials
    this.server = credentials.server
    this.timeoutMs = timeoutMs
  }

  /**
   * Makes a request.
   *
   * @returns the answer's JSON
   * @throws KubeError when the server refuses, cannot be reached, or does not answer in time
   */
  async call(call: KubeCall): Promise<unknown> {
    const deadline = AbortSignal.timeout(this.timeoutMs)
    const signal = call.signal === undefined ? deadline : AbortSignal.any([call.signal, deadline])
    try {
      const response = await this.send(call, signal)
      const text = await readText(response)
      if (!response.ok) throw this.refusal(response, text)
      return text === "" ? undefined : JSON.parse(text)
    } catch (error) {
      throw this.told(error, deadline, `no answer within ${this.timeoutMs / 1000} s`)
    }
  }

  /**
   * Reads what is no JSON, such as a container's log.
   *
   * @throws KubeError as `call`
   */
  async text(path: string): Promise<string> {
    const deadline = AbortSignal.timeout(this.timeoutMs)
    try {
      const response = await this.send({ path, accept: "*/*" }, deadline)
      const text = await readText(response)
      if (!response.ok) throw this.refusal(response, text)
      return text
    } catch (error) {
      throw this.told(error, deadline, `no answer within ${this.timeoutMs / 1000} s`)
    }
  }

  /**
   * Reads a whole list, page by page.
   *
   * @param path  without `limit` and `continue`; a query is kept
   * @throws KubeError as `call`
   */
  async list<Item>(path: string, accept = "application/json"): Promise<Item[]> {
    const found: Item[] = []
    let next = ""
    do {
      const more = next === "" ? "" : `&continue=${encodeURIComponent(next)}`
      const page = `${path}${path.includes("?") ? "&" : "?"}limit=${LIST_PAGE}${more}`
      const answer = (await this.call({ path: page, accept })) as
        | { items?: Item[] | null; metadata?: { continue?: string } }
        | undefined
      found.push(...(answer?.items ?? []))
      next = answer?.metadata?.continue ?? ""
    } while (next !== "")
    return found
  }

  /**
   * Reads one object; null when it is not there.
   *
   * @throws KubeError as `call`, save for 404
   */
  async get<Item>(path: string): Promise<Item | null> {
    try {
      return (await this.call({ path })) as Item
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return null
      throw error
    }
  }

  /**
   * Reads a watch until the server ends it.
   *
   * @throws KubeError as `call`, when it breaks, or when nothing came for `silenceMs`
   */
  async watch(options: WatchOptions): Promise<void> {
    const silence = new AbortController()
    let timer = setTimeout(() => silence.abort(), options.silenceMs)
    const signal = AbortSignal.any([options.signal, silence.signal])
    try {
      const response = await this.send(options, signal)
      if (!response.ok) throw this.refusal(response, await readText(response))
      options.onOpen()
      if (response.body === null) return
      const lines = new LineReader()
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        clearTimeout(timer)
        timer = setTimeout(() => silence.abort(), options.silenceMs)
        const events = lines.push(chunk).map(line => JSON.parse(line) as WatchEvent)
        if (events.length > 0) options.onEvents(events)
        if (signal.aborted) break
      }
      signal.throwIfAborted()
    } catch (error) {
      throw this.told(error, silence.signal, `nothing came for ${options.silenceMs / 1000} s`)
    } finally {
      clearTimeout(timer)
    }
  }

  /**
   * Opens a WebSocket.
   *
   * @param protocol  that the server must take
   * @param attach  listens to it before it is open: the first messages may come with the answer
   * @throws KubeError as `call`
   */
  async webSocket<T>(path: string, protocol: string, attach: (socket: WebSocket) => T): Promise<T> {
    const { server, headers, tls, proxy } = await this.login()
    const socket = new WebSocket(`${server.replace(/^http/, "ws")}${path}`, {
      protocols: [protocol],
      headers: { "user-agent": "conduit", ...headers },
      tls,
      perMessageDeflate: false,
      ...(proxy === "" ? {} : { proxy }),
    } as Bun.WebSocketOptions)
    socket.binaryType = "arraybuffer"
    const attached = attach(socket)
    const { promise, resolve } = Promise.withResolvers<string | null>()
    const timer = setTimeout(() => resolve(`no answer within ${this.timeoutMs / 1000} s`), this.timeoutMs)
    const failed = (event: Event): void => resolve((event as ErrorEvent).message || "it was closed")
    socket.addEventListener("open", () => resolve(null))
    socket.addEventListener("error", failed)
    socket.addEventListener("close", failed)
    const failure = await promise
    clearTimeout(timer)
    if (failure === null) return attached
    socket.terminate()
    // A WebSocket does not tell what the server answered; the same as a plain request is refused for the same reason.
    const wanted = await this.call({ path }).catch((error: unknown) => error)
    if (wanted instanceof KubeError && wanted.status !== 400) throw wanted
    throw new KubeError(`no WebSocket was opened: ${failure}`)
  }

  private async login(): Promise<Credentials> {
    try {
      return await this.credentials.current(this.refused)
    } catch (error) {
      throw new KubeError(error instanceof Error ? error.message : String(error), { reason: NO_CREDENTIALS })
    }
  }

  private async send(call: KubeCall, signal: AbortSignal): Promise<Response> {
    const { server, headers, tls, proxy } = await this.login()
    const response = await fetch(`${server}${call.path}`, {
      method: call.method ?? "GET",
      headers: {
        accept: call.accept ?? "application/json",
        "user-agent": "conduit",
        ...(call.body === undefined ? {} : { "content-type": call.contentType ?? "application/json" }),
        ...headers,
      },
      ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      tls,
      ...(proxy === "" ? {} : { proxy }),
      signal,
      redirect: "error",
      // The runtime's own limit of five idle minutes would cut quiet watches.
      timeout: false,
    } as BunFetchRequestInit)
    this.refused = response.status === 401
    this.clockMs = Date.parse(response.headers.get("date") ?? "") || 0
    return response
  }

  private refusal(response: Response, text: string): KubeError {
    let message = text.slice(0, 300).trim()
    let reason = ""
    try {
      const status = JSON.parse(text) as { message?: unknown; reason?: unknown }
      if (typeof status.message === "string") message = status.message.slice(0, 1000)
      if (typeof status.reason === "string") reason = status.reason
    } catch {
      // Not a Status object, such as a load balancer's page: its first words have to do.
    }
    const seconds = Number(response.headers.get("retry-after") ?? 0)
    const retryAfterMs = seconds > 0 && seconds <= 600 ? seconds * 1000 : 0
    return new KubeError(message || `HTTP status ${response.status}`, {
      status: response.status,
      reason,
      retryAfterMs,
    })
  }

  private told(error: unknown, deadline: AbortSignal, late: string): unknown {
    if (error instanceof KubeError) return error
    if (deadline.aborted) return new KubeError(late)
    if (error instanceof SyntaxError)
      return new KubeError(`its answer is not JSON (${error.message})`, { status: 200 })
    const code = (error as { code?: unknown }).code
    const message = error instanceof Error ? error.message : String(error)
    return new KubeError(typeof code === "string" && code !== "" ? `${code}: ${message}` : message)
  }
}

async function readText(response: Response): Promise<string> {
  if (response.body === null) return ""
  const decoder = new TextDecoder()
  let bytes = 0
  let text = ""
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength
    if (bytes > MAX_ANSWER_BYTES) throw new KubeError(`its answer is larger than ${MAX_ANSWER_BYTES} bytes`)
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}
