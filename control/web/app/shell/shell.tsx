// What stands around every page: navigation, search, the time that is shown, and how old it is.
import { Link, Outlet, useLocation } from "@tanstack/react-router"
import { useDeferredValue, useEffect, useRef, useState } from "react"
import { history } from "../mesh/history.ts"
import { MeshContext, useMeshAnswer } from "../mesh/mesh_answer.ts"
import { troublesOf } from "../mesh/trouble.ts"
import { Icon, Logo } from "./icons.tsx"
import { NAV } from "./nav.ts"
import { Palette } from "./palette.tsx"
import { StaleBanner } from "./stale_banner.tsx"
import { TimeControls } from "./time_controls.tsx"

/** The frame of the dashboard. */
export function Shell() {
  // Drawn in slices: figures of a large mesh take longer than a frame, and what a person does meanwhile goes first.
  const answer = useDeferredValue(useMeshAnswer())
  const { mesh } = answer
  const [palette, setPalette] = useState(false)
  const [menu, setMenu] = useState(false)
  const { pathname } = useLocation()
  const main = useRef<HTMLElement>(null)

  useEffect(() => {
    if (mesh !== null) history.add(mesh)
  }, [mesh])
  // biome-ignore lint/correctness/useExhaustiveDependencies: the menu closes where it has led
  useEffect(() => setMenu(false), [pathname])
  useEffect(() => {
    const failing = mesh === null ? 0 : troublesOf(mesh).filter(({ level }) => level === "failing").length
    document.title = failing === 0 ? "Conduit" : `(${failing}) Conduit`
  }, [mesh])
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.key === "k" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault()
        setPalette(true)
      } else if (event.key === "/" && !isTyping(event.target)) {
        event.preventDefault()
        const filter = main.current?.querySelector<HTMLInputElement>("input[type=search]")
        if (filter === null || filter === undefined) setPalette(true)
        else filter.focus()
      } else if (event.key === "Escape") setMenu(false)
    }
    window.addEventListener("keydown", onKey)
    return () => window.removeEventListener("keydown", onKey)
  }, [])

  return (
    <MeshContext value={answer}>
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <div className="frame">
        <header className="top">
          <button
            type="button"
            className="ghost menu-button"
            aria-expanded={menu}
            aria-controls="navigation"
            onClick={() => setMenu(!menu)}
          >
            <Icon name={menu ? "close" : "menu"} />
            <span className="hidden">Menu</span>
          </button>
          <Link to="/" className="brand" aria-label="Conduit, overview">
            <Logo />
            <span>Conduit</span>
          </Link>
          <button
            type="button"
            className="search-button"
            aria-label="Search Ctrl K"
            onClick={() => setPalette(true)}
          >
            <Icon name="search" />
            <span className="search-words">Search</span> <kbd>Ctrl K</kbd>
          </button>
          <TimeControls />
        </header>
        <nav id="navigation" className={menu ? "side open" : "side"} aria-label="Pages">
          <div className="side-pages">
            {NAV.map(({ group, entries }) => (
              <div key={group} className="nav-group">
                <h2>{group}</h2>
                <ul>
                  {entries.map(({ to, label, icon }) => (
                    <li key={to}>
                      <Link to={to} activeOptions={{ exact: to === "/", includeSearch: false }}>
                        <Icon name={icon} />
                        {label}
                      </Link>
                    </li>
                  ))}
                </ul>
              </div>
            ))}
          </div>
        </nav>
        <main id="main" ref={main} tabIndex={-1}>
          <StaleBanner />
          <Outlet />
        </main>
      </div>
      {palette && <Palette close={() => setPalette(false)} />}
    </MeshContext>
  )
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  )
}
