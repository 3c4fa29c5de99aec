// The X.509 library with the polyfill that its dependency injection asks for; imported from here only. Twice, for Bun 1.4.5
// runs CommonJS modules in two orders: as they are found where it runs the sources, behind ES modules in a bundle.
import "reflect-metadata"
import "./polyfill.ts"

export * as x509 from "@peculiar/x509"
