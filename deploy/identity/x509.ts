// The X.509 library with the polyfill that its dependency injection asks for; imported from here only.
import "./polyfill.ts"

export * as x509 from "@peculiar/x509"
