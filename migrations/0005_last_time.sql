-- As in 0002, but a user with the last possible updated_at, which is Python's datetime.max, can be changed too.
create or replace function stamp_update() returns trigger language plpgsql security definer set search_path from current as $$
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'stamp_update() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  if new.pool_id <> old.pool_id then
    raise exception 'a user stays in its pool' using errcode = 'check_violation', hint = 'Delete it and make it in the other pool.';
  end if;
  new.commit_id := currval('commit_ids');
  if (new.id, new.batch_id, new.is_test_user, new.created_by_bulk)
    is distinct from (old.id, old.batch_id, old.is_test_user, old.created_by_bulk)
  then
    new.entered_commit_id := new.commit_id;
  else
    new.entered_commit_id := old.entered_commit_id;
  end if;
  if new.updated_at = old.updated_at then
    new.updated_at := case
      when old.updated_at < '9999-12-31 23:59:59.999999+00' then greatest(now(), old.updated_at + interval '1 microsecond')
      else now() -- there is no later time
    end;
  end if;
  return new;
end
$$;
