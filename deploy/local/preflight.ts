// How a machine's lacks are told, and where its programs are looked for.

/** Something that the machine lacks. The message says what, and how to get it. */
export class PreflightError extends Error {
  constructor(message: string) {
    super(message)
    this.name = "PreflightError"
  }
}

/** Where tools of the system are, that not everyone's PATH names. */
const SYSTEM_PATHS = ["/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]

/** The PATH given, with the system's own folders at its end where it lacks them. */
export function completePath(path: string): string {
  const folders = path.split(":").filter(folder => folder !== "")
  return [...folders, ...SYSTEM_PATHS.filter(folder => !folders.includes(folder))].join(":")
}
