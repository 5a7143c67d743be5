import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { testHistories } from './state-histories.ts'

const t = suite()

const url = await testDatabase()
const sql = connect({ url, schema: 'usersync', connections: 6, name: 'test' })
t.teardown(() => sql.end())

await testHistories(t, sql, sized(10, 60))
