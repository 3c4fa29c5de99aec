// What could be a secret does not get through, in whatever form; what is none does.
import { expect, test } from "bun:test"
import { redact, withoutSecrets } from "./redact.ts"

const PLANTED = "hunter2-PLANTED"
const BASE64 = Buffer.from(`-----BEGIN PRIVATE KEY-----\n${PLANTED}`).toString("base64")
const JWT = `eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJQTEFOVEVEIn0.${"PLANTED".repeat(4)}`

test.each([
  [
    "a key in PEM",
    `x\n-----BEGIN EC PRIVATE KEY-----\n${PLANTED}\n${PLANTED}\n-----END EC PRIVATE KEY-----\ny`,
  ],
  ["a key whose end is cut off", `-----BEGIN PRIVATE KEY-----\n${PLANTED}\n`],
  [
    "a key within JSON",
    JSON.stringify({ a: `-----BEGIN PRIVATE KEY-----\n${PLANTED}\n-----END PRIVATE KEY-----\n` }),
  ],
  ["a key in base64", `ca: ${BASE64}`],
  ["a JSON Web Token", `jwt ${JWT} end`],
  ["a bearer token", `authorization: Bearer ${PLANTED}`],
  ["a header field of a log", `GET / headers: {"cookie": "sid=${PLANTED}", "x-api-key": "${PLANTED}"}`],
  ["a query string", `path=/login?user=jo&access_token=${PLANTED}&x=1`],
  ["an argument", `--password=${PLANTED} --db-password "x"`],
  ["a variable", `DATABASE_PASSWORD=${PLANTED}`],
  ["a URL", `postgres://jo:${PLANTED}@db.shop:5432/x`],
  ["YAML", `password: ${PLANTED}\nclient_secret: ${PLANTED}`],
  ["JSON with escapes", JSON.stringify({ token: `a"b\\${PLANTED}` })],
  [
    "JSON in a string of JSON",
    JSON.stringify({ applied: JSON.stringify({ apiToken: PLANTED, name: "web" }) }),
  ],
])("%s does not get through", (_, text) => {
  const clean = redact(text)
  expect(clean).toContain("[redacted]")
  expect(clean).not.toContain("PLANTED")
  expect(clean).not.toContain(Buffer.from(PLANTED).toString("base64").slice(2, 12))
})

test("what is no secret stays, and what is redacted once stays as it is", () => {
  const plain = [
    'response_total{direction="inbound",authority="cart.shop:9090",tls="true"} 12',
    "INFO  refused: no-endpoint side=outbound conn=5 dst=10.96.228.79:9090 id=5ppeyqc",
    '{"name": "conduit-identity-token", "nextPageToken": "", "key": "value", "tokenReviews": 3}',
    "GET /products/lamp?page=2 200 in 3 ms",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
  ].join("\n")
  expect(redact(plain)).toBe(plain)
  const once = redact(`password: ${PLANTED} token=${PLANTED} "secret": "${PLANTED}"`)
  expect(redact(once)).toBe(once)
})

test("of objects, Secrets, what was applied, and values of variables but our own are left out", () => {
  const clean = withoutSecrets({
    kind: "List",
    items: [
      { kind: "Secret", data: { a: PLANTED } },
      {
        kind: "Pod",
        metadata: {
          managedFields: [PLANTED],
          annotations: { "kubectl.kubernetes.io/last-applied-configuration": PLANTED, keep: "yes" },
        },
        spec: {
          containers: [
            {
              name: "app",
              env: [
                { name: "GREETING", value: PLANTED },
                { name: "CONDUIT_POLICY_ADDR", value: "conduit-policy:8090" },
                { name: "FROM", valueFrom: { secretKeyRef: { name: "db", key: "pw" } } },
              ],
            },
          ],
        },
      },
    ],
  })
  const text = JSON.stringify(clean)
  expect(text).not.toContain("PLANTED")
  for (const kept of ["conduit-policy:8090", '"keep":"yes"', '"secretKeyRef":{"name":"db"'])
    expect(text).toContain(kept)
})
