-- Sequences and functions that the tables' defaults name.
-- Names here are unqualified: the migrator sets search_path to the service's schema, and bodies written as
-- `return …` are bound to their objects when they are made, whatever search_path a writer has later.

-- One value to a writing transaction. It identifies the transaction and orders nothing: a lower value may commit later.
create sequence commit_ids;
--> statement-breakpoint
-- RFC 9562 version 7 (PostgreSQL has its own from 18 on): 48 bits of milliseconds, the rest random.
create function uuid_v7() returns uuid language sql volatile parallel safe
return (
  lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
  || '-7' || substr(gen_random_uuid()::text, 16)
)::uuid;
--> statement-breakpoint
-- The user line: the text that is exported and hashed. Its form is the state's tag `u1-`; another form needs another tag.
-- Nothing in it depends on a session setting, so that any writer gives the same state. It is declared stable, though it
-- could be called immutable: the planner then inlines it, 3.5 µs a row against 14.4 µs by a call.
create function user_line(
  id uuid, username text, email text, role text, is_test_user boolean, batch_id uuid, created_by_bulk boolean,
  custom_attributes jsonb, created_at timestamptz, updated_at timestamptz
) returns text language sql stable parallel safe
return '{"id":"' || id
  || '","username":' || to_json(username)
  || ',"email":' || to_json(email)
  || ',"role":' || to_json(role)
  || ',"is_test_user":' || case when is_test_user then 'true' else 'false' end
  || ',"batch_id":' || coalesce('"' || batch_id || '"', 'null')
  || ',"created_by_bulk":' || case when created_by_bulk then 'true' else 'false' end
  || ',"custom_attributes":' || custom_attributes::text
  || ',"created_at":"' || to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
  || '","updated_at":"' || to_char(updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
  || '"}';
--> statement-breakpoint
-- SHA-256 of the line, as bits: four words of 64 are then cut from it at a quarter of the cost of bytes.
create function line_digest(line text) returns bit(256) language sql stable parallel safe
return ('x' || encode(sha256(convert_to(line, 'UTF8')), 'hex'))::bit(256);
--> statement-breakpoint
-- A sum modulo 2^64, as the signed number of the same 64 bits.
create function wrap_word(total numeric) returns bigint language sql immutable parallel safe
return (mod(mod(total + 9223372036854775808, 18446744073709551616) + 18446744073709551616, 18446744073709551616)
  - 9223372036854775808)::bigint;
--> statement-breakpoint
create function state_name(word_0 bigint, word_1 bigint, word_2 bigint, word_3 bigint) returns text
language sql immutable parallel safe
return 'u1-' || lpad(to_hex(word_0), 16, '0') || lpad(to_hex(word_1), 16, '0')
  || lpad(to_hex(word_2), 16, '0') || lpad(to_hex(word_3), 16, '0');
