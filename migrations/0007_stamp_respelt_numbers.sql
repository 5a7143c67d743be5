-- A row counts as changed when its bytes are (`*<>`), not when its values differ: 1.1 and 1.10 are equal numbers in jsonb and
-- different lines, so an update from one to the other changed the state, and was in no delta.
drop trigger stamp_update on users;
--> statement-breakpoint
create trigger stamp_update before update on users for each row
when (old.* *<> new.*) execute function stamp_update();
--> statement-breakpoint
alter table users enable always trigger stamp_update;
