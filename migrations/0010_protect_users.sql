-- The last word on who is protected: whatever statement the service should ever run, it changes and deletes test users
-- only. Its connections say who they are by `usersync.service`; other writers may do what they have the rights to.
-- The condition stands in the trigger, not in the function, so that a test user costs a comparison and no call.
create function refuse_change_of_protected_user() returns trigger language plpgsql as $$
begin
  if current_setting('usersync.service', true) = 'on' then
    raise exception 'a user who is not a test user is never changed by the service' using errcode = 'US001';
  end if;
  return case tg_op when 'DELETE' then old else new end;
end
$$;
--> statement-breakpoint
create trigger a_protect_users before update or delete on users for each row
when (not old.is_test_user) execute function refuse_change_of_protected_user();
--> statement-breakpoint
alter table users enable always trigger a_protect_users;
