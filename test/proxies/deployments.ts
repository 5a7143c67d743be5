import type { Test } from 'tap'
import { testDatabase } from '../database.ts'
import { type Service, startService } from '../http/service.ts'
import { type Nginx, startNginx } from './nginx.ts'

export interface Deployment extends Service {
  databaseUrl: string
}

export interface Deployments {
  first: Deployment
  second: Deployment
  nginx: Nginx
}

/** Starts two deployments, each with its own database, behind nginx with docs/nginx-pools.conf and this usersync-pools.map. */
export async function startDeployments(
  t: Test,
  map: string,
  settings: Record<string, string> = {},
): Promise<Deployments> {
  const start = async () => {
    const databaseUrl = await testDatabase()
    return { ...(await startService(t, { ...settings, DATABASE_URL: databaseUrl })), databaseUrl }
  }
  const [first, second] = await Promise.all([start(), start()])
  const replace = {
    'server 127.0.0.1:3000 ': `server ${new URL(first.url).host} `,
    'server 127.0.0.1:3100 ': `server ${new URL(second.url).host} `,
  }
  const beside = { 'nginx-pools.js': undefined, 'usersync-pools.map': map }
  const nginx = await startNginx(t, { file: 'nginx-pools.conf', replace, beside, njs: true })
  return { first, second, nginx }
}
