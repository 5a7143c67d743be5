-- The commit id sequence, and functions that do not read tables.
-- Names are unqualified: the migrator sets search_path to the service's schema. A body written as `return …` is bound to its
-- objects when it is created; search_path at run time does not matter.

-- One value for each transaction that writes users. It identifies the transaction. It orders nothing: a transaction with a
-- lower value may commit later.
create sequence commit_ids;
--> statement-breakpoint
-- One value for each lease. Drawn while the lease's users are locked, so a later lease of a user has a greater value.
create sequence lease_fences;
--> statement-breakpoint
-- RFC 9562, version 7: 48 bits of milliseconds, the rest random. PostgreSQL 18 has uuidv7(); 15 to 17 do not.
create function uuid_v7() returns uuid language sql volatile parallel safe
return (
  lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
  || '-7' || substr(gen_random_uuid()::text, 16)
)::uuid;
--> statement-breakpoint
-- A time as the API writes it: RFC 3339, UTC, six digits of a second.
create function rfc3339(moment timestamptz) returns text language sql stable parallel safe
return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
--> statement-breakpoint
-- The user line: the text that is exported and hashed. The tag `u1-` of a state names this form; another form needs another
-- tag. The line depends on no session setting, so every writer produces the same state. Declared stable, although it could be
-- immutable, because the planner then inlines it: 3.5 µs a row, against 14.4 µs for a call.
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
  || ',"created_at":"' || rfc3339(created_at)
  || '","updated_at":"' || rfc3339(updated_at)
  || '"}';
--> statement-breakpoint
create function refuse_long_line(id uuid, bytes integer) returns text language plpgsql stable as $$
begin
  raise exception 'the line of user % has % bytes; the limit is 1048576', id, bytes
    using errcode = 'program_limit_exceeded', hint = 'Shorten custom_attributes. A number such as 1e308 counts with all its digits.';
end
$$;
--> statement-breakpoint
-- Returns the line, or throws if it is longer than 1 MiB. The limit applies to the line, not to the input: a number of six
-- characters such as 1e308 has 309 digits in the line. The service knows the limit as MAX_LINE_BYTES and maps the SQLSTATE to
-- `user_too_large`.
create function bounded_line(id uuid, line text) returns text language sql stable
return case when octet_length(line) <= 1048576 then line else refuse_long_line(id, octet_length(line)) end;
--> statement-breakpoint
-- SHA-256 of the line as bits: cutting four words of 64 bits from bits costs a quarter of cutting them from bytes.
create function line_digest(line text) returns bit(256) language sql stable parallel safe
return ('x' || encode(sha256(convert_to(line, 'UTF8')), 'hex'))::bit(256);
--> statement-breakpoint
-- A sum modulo 2^64, as the signed number with the same 64 bits.
create function wrap_word(total numeric) returns bigint language sql immutable parallel safe
return (mod(mod(total + 9223372036854775808, 18446744073709551616) + 18446744073709551616, 18446744073709551616)
  - 9223372036854775808)::bigint;
--> statement-breakpoint
-- The name of a state. int8send costs 2.5 µs, lpad of to_hex 12.5 µs, and every look-up of a state (every 304) needs the name.
create function state_name(word_0 bigint, word_1 bigint, word_2 bigint, word_3 bigint) returns text
language sql immutable parallel safe
return 'u1-' || encode(int8send(word_0) || int8send(word_1) || int8send(word_2) || int8send(word_3), 'hex');
--> statement-breakpoint
-- RFC 7396: a member of the patch replaces that of the target, null removes it, and objects are merged recursively. Done in
-- SQL because numbers keep their digits, which they do not in JavaScript.
create function merge_patch(target jsonb, patch jsonb) returns jsonb language plpgsql immutable parallel safe set search_path from current as $$
begin
  if jsonb_typeof(target) is distinct from 'object' then
    target := '{}';
  end if;
  return (
    select coalesce(jsonb_object_agg(m.name, m.value), '{}')
    from (
      select t.key, t.value from jsonb_each(target) t where not patch ? t.key
      union all
      select p.key, case when jsonb_typeof(p.value) = 'object' then merge_patch(target -> p.key, p.value) else p.value end
      from jsonb_each(patch) p where p.value <> 'null'
    ) m (name, value)
  );
end
$$;
