// The X.509 library with the polyfill that its dependency injection asks for; imported from here only.
//
// Both are CommonJS. Run from source, Bun begins such modules in the order of the imports; bundled, it begins all of them
// after this file's other imports, the library first. So the polyfill is named twice, and begins once.
import "reflect-metadata"
import "./reflect.ts"

export * as x509 from "@peculiar/x509"
