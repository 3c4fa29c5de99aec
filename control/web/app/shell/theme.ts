// Light, dark, or as the system has it; kept in this browser.

/** A theme that can be chosen. */
export type Theme = "system" | "light" | "dark"
/** All of them. */
export const THEMES: readonly Theme[] = ["system", "light", "dark"]
const KEY = "conduit.theme"

/** The theme that was chosen before. */
export function savedTheme(): Theme {
  try {
    const saved = window.localStorage.getItem(KEY)
    return THEMES.find(theme => theme === saved) ?? "system"
  } catch {
    // A browser may keep nothing.
    return "system"
  }
}

/** Shows the page in a theme, and keeps it. */
export function applyTheme(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme
  try {
    window.localStorage.setItem(KEY, theme)
  } catch {
    // It holds until the page is left.
  }
}

/** The theme after this one. */
export function nextTheme(theme: Theme): Theme {
  return THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system"
}
