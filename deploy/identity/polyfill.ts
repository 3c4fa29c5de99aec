// What the X.509 library asks for, as an ES module; see x509.ts.
import "reflect-metadata"
