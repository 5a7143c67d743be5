-- What else triggers of `users` do: protect users that are not test users, refuse truncate, keep track of credentials. And who
-- may execute the trigger functions.

-- The service changes and deletes test users only. Every statement of it checks this; this trigger enforces it. Connections of
-- the service set usersync.service; other writers may do what they have the rights to. The condition is in the trigger and not
-- in the function, so that a test user costs a comparison and no call.
create function refuse_change_of_protected_user() returns trigger language plpgsql as $$
begin
  if current_setting('usersync.service', true) = 'on' then
    raise exception 'the service never changes a user that is not a test user' using errcode = 'US001';
  end if;
  return case tg_op when 'DELETE' then old else new end;
end
$$;
--> statement-breakpoint
-- Triggers of one event fire in the order of their names: this one comes before stamp_update.
create trigger a_protect_users before update or delete on users for each row
when (not old.is_test_user) execute function refuse_change_of_protected_user();
--> statement-breakpoint
-- Truncate has no transition table, so it cannot be captured.
create function refuse_truncate() returns trigger language plpgsql as $$
begin
  raise exception 'truncate of users would be in no export'
    using errcode = 'feature_not_supported', hint = 'Use: delete from users.';
end
$$;
--> statement-breakpoint
create trigger refuse_truncate before truncate on users for each statement execute function refuse_truncate();
--> statement-breakpoint
-- Records the ranges of credentials that deleted users had, for every writer. A background sweep decides later whether
-- another user still has one: here each deletion would pay for a look-up, and two concurrent deletions would each see the
-- other's users. Rows are appended and never updated, so that no writer waits for another.
create function note_credentials() returns trigger language plpgsql security definer set search_path from current as $$
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'note_credentials() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  insert into credential_checks (pool_id, first_id, last_id)
  select o.pool_id, min(o.credential_id), max(o.credential_id) from old_rows o
  where o.credential_id is not null group by o.pool_id, o.batch_id;
  return null;
end
$$;
--> statement-breakpoint
create trigger note_credentials after delete on users
referencing old table as old_rows for each statement execute function note_credentials();
--> statement-breakpoint
-- The sweep finds the users of a credential by their ids, which follow from the batch's id. It cannot find a user that plain
-- SQL gave another id; the credential of such a user stays until the pool is deleted.
create function pin_credential() returns trigger language plpgsql security definer set search_path from current as $$
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'pin_credential() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  update credentials set pinned = true where pool_id = old.pool_id and id = old.credential_id;
  return null;
end
$$;
--> statement-breakpoint
create trigger pin_credential after update of id on users for each row
when (new.id <> old.id and old.credential_id is not null) execute function pin_credential();
--> statement-breakpoint
-- `always`: as in 0002.
alter table users
  enable always trigger a_protect_users,
  enable always trigger refuse_truncate,
  enable always trigger note_credentials,
  enable always trigger pin_credential;
--> statement-breakpoint
-- PostgreSQL checks EXECUTE on a trigger function when a trigger is created, not when it fires. A role with USAGE on the schema
-- could otherwise attach these functions to a table of its own, where they run with the rights of the owner. Writers of
-- `users` do not need EXECUTE.
revoke execute on function delete_sink_users(), begin_commit(), stamp_insert(), stamp_update(), capture_insert(), capture_update(),
  capture_delete(), record_states(), refuse_change_of_protected_user(), refuse_truncate(), note_credentials(),
  pin_credential() from public;
