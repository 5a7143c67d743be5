import type { FastifyRequest } from 'fastify'

/** Whether it asks for health or metrics: orchestrators and Prometheus do so every few seconds. */
export const isProbe = ({ routeOptions }: FastifyRequest): boolean =>
  /^\/(livez|readyz|healthz|metrics)$/.test(routeOptions.url ?? '')
