// Services as people name them.
import { UsageError } from "./failure.ts"

/** A Service as people name it. */
export interface ServiceArgument {
  /** Namespace, "" for all, or null when the flags decide. */
  readonly namespace: string | null
  readonly service: string
  /** 0 for every port. */
  readonly port: number
}

/**
 * Reads `web`, `web:80`, `web.shop`, `web.shop.svc.cluster.local:80` or `svc/web`.
 *
 * @throws UsageError when it is none of these
 */
export function parseService(word: string): ServiceArgument {
  const match =
    /^(?:(?:svc|service|services)\/)?([a-z0-9][-a-z0-9]*)(?:\.([a-z0-9][-a-z0-9]*)(?:\.svc(?:\.[-a-z0-9.]+)?)?)?(?::(\d{1,5}))?$/.exec(
      word,
    )
  const port = Number(match?.[3] ?? 0)
  if (match?.[1] === undefined || port > 65_535 || (match[3] !== undefined && port === 0)) {
    throw new UsageError(`"${word}" is no Service; write web, web:80 or web.NAMESPACE`)
  }
  return { namespace: match[2] ?? null, service: match[1], port }
}
