// Opens an address in the person's browser, the way of each desktop.

/** How, by platform; the first program that is there. */
const OPENERS: Readonly<Record<string, readonly string[]>> = {
  linux: ["xdg-open", "wslview", "gio"],
  darwin: ["open"],
  win32: ["explorer"],
}

/** Opens it. @returns null, or a clause that says why there is none to open it in */
export function openBrowser(
  url: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
  platform: string = process.platform,
): string | null {
  const display = env.DISPLAY || env.WAYLAND_DISPLAY || env.BROWSER || env.WSL_DISTRO_NAME
  if (platform === "linux" && !display) return "this session has no display"
  const program = (OPENERS[platform] ?? []).find(name => Bun.which(name) !== null)
  if (program === undefined) return "no program that opens one was found (xdg-open)"
  const words = program === "gio" ? ["gio", "open", url] : [program, url]
  Bun.spawn(words, { stdin: "ignore", stdout: "ignore", stderr: "ignore" }).unref()
  return null
}
