// The polyfill that the X.509 library's dependency injection asks for, in a module of its own; see x509.ts.
import "reflect-metadata"
