/**
 * Whether a 503 is the answer of a health check: the service is not ready, and says why. A 503 of a proxy is none. `text` is the body of
 * the operation `id`.
 */
export function isReadiness(id: string, text: string): boolean {
  if (id !== 'getHealth' && id !== 'getReadiness') return false
  try {
    return (JSON.parse(text) as { status?: unknown } | null)?.status === 'not_ready'
  } catch {
    return false
  }
}
