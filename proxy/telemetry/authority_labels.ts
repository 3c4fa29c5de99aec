// The `authority` label comes from requests, so anybody can invent values: bounded, with the overflow in `other`.

/** Authorities told apart at most, per proxy. A workload talks to tens of names; a scanner invents thousands. */
export const MAX_AUTHORITIES = 200

/** Longest authority kept as a label: a DNS name (RFC 1035, 253 bytes) and a port. */
export const MAX_AUTHORITY_LENGTH = 260

/** Value of the label for authorities beyond the bound. */
export const OTHER_AUTHORITY = "other"

/** One value of the label. */
export class AuthorityLabel {
  /** Never used twice within a process. */
  readonly id: number
  readonly text: string

  constructor(id: number, text: string) {
    this.id = id
    this.text = text
  }
}

/** Hands out labels. Names are compared without case, as hosts are. */
export class AuthorityLabels {
  private readonly byText = new Map<string, AuthorityLabel>()
  private readonly other = new AuthorityLabel(0, OTHER_AUTHORITY)
  private readonly limit: number
  private nextId = 1
  private lastText = ""
  private last: AuthorityLabel | null = null

  constructor(limit: number = MAX_AUTHORITIES) {
    this.limit = limit
  }

  /** The label of an authority as a request sent it. */
  of(authority: string): AuthorityLabel {
    if (this.last !== null && authority === this.lastText) return this.last
    const label = this.byText.get(authority) ?? this.add(authority)
    if (label !== this.other) {
      this.lastText = authority
      this.last = label
    }
    return label
  }

  /** Forgets labels whose text no series bears any more, so that their places are free again. */
  retain(used: ReadonlySet<string>): void {
    for (const text of this.byText.keys()) if (!used.has(text)) this.byText.delete(text)
    this.last = null
  }

  private add(authority: string): AuthorityLabel {
    if (authority.length > MAX_AUTHORITY_LENGTH) return this.other
    const lower = authority.toLowerCase()
    if (lower !== authority) return this.byText.get(lower) ?? this.add(lower)
    if (this.byText.size >= this.limit) return this.other
    const label = new AuthorityLabel(this.nextId++, authority)
    this.byText.set(authority, label)
    return label
  }
}
