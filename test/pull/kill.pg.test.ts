import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { killPulls } from './kills.ts'

const t = suite()

const KILLS = sized(1, 6)

t.test(`the file is complete after kills: ${KILLS}`, async (t) => {
  await killPulls(t, await sharedService(t), { kills: KILLS, users: sized(2_000, 20_000) })
})
