// What the X.509 library asks for before it is loaded. A module of its own: where a bundle loads modules when they are
// first needed, Bun 1.4.5 runs CommonJS modules (as this polyfill is one) after the ES modules beside them.
import "reflect-metadata"
