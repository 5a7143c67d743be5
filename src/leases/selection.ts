import type { Fragment, ISql } from 'postgres'
import { FIRST_ID } from '../database/id-bounds.ts'

export const ORDERS = ['least_used', 'random', 'sequence'] as const
export type Order = (typeof ORDERS)[number]

export type AttributeValue = string | number | boolean | null

/** Which users a request takes, and in which order. */
export interface Selection {
  /** The name of the pool. */
  pool: string
  batchId: string | undefined
  role: string | undefined
  /** Values that top-level attributes must equal. */
  attributes: Record<string, AttributeValue>
  order: Order
}

/** A place in an order: the walk for users begins behind it, and comes back to it at the end. */
export interface Hand {
  uses: number
  draw: number
  userId: string
}

/** The beginning of the orders `least_used` and `sequence`; no user has this id. */
export const BEGINNING: Hand = { uses: 0, draw: -2_147_483_648, userId: FIRST_ID }

/** A random place in the order `random`. */
export const randomHand = (): Hand => ({ ...BEGINNING, draw: Math.floor(Math.random() * 2 ** 32) - 2 ** 31 })

/** The columns of an order in `lease_users l`, and the hand as a value of them. Each order has its index (tables.ts). */
export function orderKey(sql: ISql, order: Order, { uses, draw, userId }: Hand): { columns: Fragment; hand: Fragment } {
  if (order === 'random') return { columns: sql`l.draw`, hand: sql`${draw}::int` }
  if (order === 'sequence') return { columns: sql`l.user_id`, hand: sql`${userId}::uuid` }
  return { columns: sql`l.uses, l.user_id`, hand: sql`${uses}::int, ${userId}::uuid` }
}

/** Whether finding users may mean to read many that do not match: no index knows roles and attributes. */
export const isSearch = ({ role, attributes }: Pick<Selection, 'role' | 'attributes'>) =>
  role !== undefined || Object.keys(attributes).length > 0

/** The filter as a condition on rows of `users u`, with a leading `and`. Non-test users are never leased. */
export function selectsUser(sql: ISql, { batchId, role, attributes }: Omit<Selection, 'order' | 'pool'>): Fragment {
  return sql`
    and u.is_test_user
    ${batchId === undefined ? sql`` : sql`and u.batch_id = ${batchId}`}
    ${role === undefined ? sql`` : sql`and u.role = ${role}`}
    ${Object.keys(attributes).length === 0 ? sql`` : sql`and u.custom_attributes @> ${JSON.stringify(attributes)}::jsonb`}`
}
