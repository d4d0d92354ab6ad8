/** A gateway `g` with a route to Anthropic whose key is Secret `key`. */
export const MANIFESTS = `
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {token: from-manifest}
---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressGateway
metadata: {name: g}
spec: {listeners: [{name: e, protocol: TLS, tls: {mode: Terminate}}]}
---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: AIProviderRoute
metadata: {name: r}
spec:
  parentRefs: [{group: clrk.apoxy.dev, kind: EgressGateway, name: g}]
  rules: [{matches: [{provider: anthropic}]}]
---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: CredentialInjectionPolicy
metadata: {name: c}
spec:
  targetRefs: [{group: clrk.apoxy.dev, kind: AIProviderRoute, name: r}]
  secretRef: {name: key}
  target: Header
  headerName: x-api-key
`
