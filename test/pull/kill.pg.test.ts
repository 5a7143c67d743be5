import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { killPulls } from './kills.ts'

const t = suite()

const KILLS = sized(2, 6)

t.test(`the file is complete after ${KILLS} kills`, async (t) => {
  await killPulls(t, await sharedService(t), { kills: KILLS, users: sized(5_000, 20_000) })
})
