-- The user line is at most 1 MiB. The bound stands where the line is made, so that it holds for every writer: the API, an
-- import, a batch, a replica and plain SQL. A number of six characters such as 1e308 has 309 digits in the line, so a bound on
-- what comes in is not enough. The service knows the bound as LONGEST_LINE and maps the SQLSTATE to `user_too_large`.
create function refuse_long_line(id uuid, bytes integer) returns text language plpgsql stable as $$
begin
  raise exception 'the line of user % takes % bytes, and may take 1048576', id, bytes
    using errcode = 'program_limit_exceeded', hint = 'Shorten custom_attributes. A number such as 1e308 counts with all its digits.';
end
$$;
--> statement-breakpoint
-- As in 0018, but for the bound on the lines of new rows. Old rows are not bounded, so that
-- a long line from before this migration can be shortened and deleted. The first long line ends the statement: to compute
-- those of a whole chunk first could take minutes.
create or replace function capture_changes() returns trigger language plpgsql security definer set search_path from current as $$
declare
  this_commit bigint;
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'capture_changes() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  this_commit := currval('commit_ids');
  if tg_op <> 'DELETE' then
    insert into part_changes
      (pool_id, commit_id, batch_id, is_test_user, created_by_bulk, user_count, word_0, word_1, word_2, word_3)
    select d.pool_id, this_commit, d.batch_id, d.is_test_user, d.created_by_bulk, count(*),
      sum(substring(d.digest from 1 for 64)::bigint), sum(substring(d.digest from 65 for 64)::bigint),
      sum(substring(d.digest from 129 for 64)::bigint), sum(substring(d.digest from 193 for 64)::bigint)
    from (
      select l.pool_id, l.batch_id, l.is_test_user, l.created_by_bulk, line_digest(
        case when octet_length(l.line) <= 1048576 then l.line else refuse_long_line(l.id, octet_length(l.line)) end
      ) as digest
      from (
        select n.pool_id, n.id, n.batch_id, n.is_test_user, n.created_by_bulk,
          user_line(n.id, n.username, n.email, n.role, n.is_test_user, n.batch_id, n.created_by_bulk,
            n.custom_attributes, n.created_at, n.updated_at) as line
        from new_rows n
        offset 0 -- keeps the line from being computed once for each use
      ) l
      offset 0 -- keeps the digest from being computed once for each word
    ) d
    group by d.pool_id, d.batch_id, d.is_test_user, d.created_by_bulk;
  end if;
  if tg_op <> 'INSERT' then
    insert into part_changes
      (pool_id, commit_id, batch_id, is_test_user, created_by_bulk, user_count, word_0, word_1, word_2, word_3)
    select d.pool_id, this_commit, d.batch_id, d.is_test_user, d.created_by_bulk, -count(*),
      -sum(substring(d.digest from 1 for 64)::bigint), -sum(substring(d.digest from 65 for 64)::bigint),
      -sum(substring(d.digest from 129 for 64)::bigint), -sum(substring(d.digest from 193 for 64)::bigint)
    from (
      select o.pool_id, o.batch_id, o.is_test_user, o.created_by_bulk,
        line_digest(user_line(o.id, o.username, o.email, o.role, o.is_test_user, o.batch_id, o.created_by_bulk,
          o.custom_attributes, o.created_at, o.updated_at)) as digest
      from old_rows o
      offset 0
    ) d
    group by d.pool_id, d.batch_id, d.is_test_user, d.created_by_bulk;
  end if;
  -- Nobody has seen a stay that began in this transaction, so it leaves no tombstone.
  if tg_op = 'DELETE' then
    insert into tombstones (pool_id, left_commit_id, user_id, batch_id, is_test_user, created_by_bulk, entered_commit_id)
    select o.pool_id, this_commit, o.id, o.batch_id, o.is_test_user, o.created_by_bulk, o.entered_commit_id
    from old_rows o where o.entered_commit_id <> this_commit;
  elsif tg_op = 'UPDATE' then
    insert into tombstones (pool_id, left_commit_id, user_id, batch_id, is_test_user, created_by_bulk, entered_commit_id)
    select s.pool_id, this_commit, s.id, s.batch_id, s.is_test_user, s.created_by_bulk, s.entered_commit_id
    from (
      select o.pool_id, o.id, o.batch_id, o.is_test_user, o.created_by_bulk, o.entered_commit_id from old_rows o
      except
      select n.pool_id, n.id, n.batch_id, n.is_test_user, n.created_by_bulk, n.entered_commit_id from new_rows n
    ) s where s.entered_commit_id <> this_commit;
  end if;
  return null;
end
$$;
--> statement-breakpoint
-- RFC 7396: members of the patch replace those of the target, null removes one, and objects are merged in the same way. The
-- numbers of the target keep their digits, which they would not in JavaScript.
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
