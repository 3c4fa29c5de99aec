// Signs of the page, drawn in the colour of the text around them. They never stand alone: words say the same.

const PATHS = {
  overview: "M3 13h7V3H3zm0 8h7v-5H3zm10 0h8V11h-8zm0-18v5h8V3z",
  deployments: "M12 2 3 6.5v11L12 22l9-4.5v-11zm0 0v20M3 6.5l9 4.5 9-4.5",
  topology:
    "M5 5m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0M19 7m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0M12 19m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0M7 5.5l10 1M6 7l5 10m2-0.5 5-7.5",
  routes: "M4 6h6c4 0 4 12 8 12h2M4 18h5m6-12h5m-3-3 3 3-3 3m0 6 3 3-3 3",
  split: "M3 12h6m0 0c4 0 4-6 8-6h4m-12 6c4 0 4 6 8 6h4m-3-15 3 3-3 3m0 6 3 3-3 3",
  policies: "M12 3 4 6v6c0 4.5 3.4 7.7 8 9 4.6-1.3 8-4.5 8-9V6zm-3.5 9 2.5 2.5 4.5-5",
  certificates: "M12 9m-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0M8.5 14 7 22l5-3 5 3-1.5-8",
  health: "M3 12h4l2.5-7 5 14 2.5-7h4",
  settings:
    "M4 7h9m4 0h3M4 17h3m4 0h9M15 7m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0M9 17m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0",
  plugin: "M9 3v5m6-5v5M6 8h12v4a6 6 0 0 1-12 0zm6 10v4",
  search: "M10.5 10.5m-6.5 0a6.5 6.5 0 1 0 13 0a6.5 6.5 0 1 0-13 0M15.5 15.5 21 21",
  pause: "M8 5v14M16 5v14",
  play: "M7 4v16l13-8z",
  menu: "M4 6h16M4 12h16M4 18h16",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  close: "M5 5l14 14M19 5 5 19",
  lock: "M6 11h12v9H6zm2.5 0V8a3.5 3.5 0 0 1 7 0v3",
  unlocked: "M6 11h12v9H6zm2.5 0V8a3.5 3.5 0 0 1 6.8-1.2",
  arrow: "M5 12h14m-5-5 5 5-5 5",
} as const

/** A sign's name. */
export type IconName = keyof typeof PATHS

/** A sign. */
export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  )
}

/** The sign of Conduit. */
export function Logo() {
  return (
    <svg className="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" className="logo-ground" />
      <path d="M8 11h6a5 5 0 0 1 5 5 5 5 0 0 0 5 5" className="logo-line" />
      <circle cx="8" cy="11" r="3" className="logo-from" />
      <circle cx="24" cy="21" r="3" className="logo-to" />
    </svg>
  )
}
