// The dashboard's page: what is shown stands in the URL, and all that is shown comes from the API.
import { TransportProvider } from "@connectrpc/connect-query"
import { QueryClientProvider } from "@tanstack/react-query"
import { RouterProvider } from "@tanstack/react-router"
import { StrictMode } from "react"
import { createRoot } from "react-dom/client"
import { queries, transport } from "./mesh/calls.ts"
import { router } from "./router.tsx"
import { applyTheme, savedTheme } from "./shell/theme.ts"

applyTheme(savedTheme())
const root = document.getElementById("root")
if (root === null) throw new Error("the page has no root")
createRoot(root).render(
  <StrictMode>
    <TransportProvider transport={transport}>
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </TransportProvider>
  </StrictMode>,
)
