-- A scope may have a state more than once. Where the version of a plan is not known, the next run compares all users.
alter table targets add column planned_version bigint;
--> statement-breakpoint
alter table sync_runs add column sent_count bigint not null default 0;
