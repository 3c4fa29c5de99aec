// What the dashboard may ask of the public API: calls that read figures and facts, and none that shows live requests.

/** The service that the calls are of. */
export const API_SERVICE = "conduit.api.v1.ApiService"

/**
 * Names of the calls. Whoever is let to the dashboard gets their answers by the dashboard's own identity, so a call that
 * shows what requests hold has no place here: that needs a right of the person who looks. A refusal is told of to who knows
 * its id, which is random and went to its caller.
 */
export const DASHBOARD_CALLS = [
  "Version",
  "Stat",
  "Routes",
  "Edges",
  "Identities",
  "Policies",
  "Authorization",
  "WhatIf",
  "Learn",
  "Check",
  "Explain",
  "ExplainCall",
  "Events",
  "TimeSeries",
  "GatewayRoutes",
  "Plugins",
  "PluginPanels",
] as const
