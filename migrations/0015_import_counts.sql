-- What became of an import's rows beside those created and failed: users that it changed, rows that it left out.
alter table batches add column updated_count integer not null default 0;
--> statement-breakpoint
alter table batches add column skipped_count integer not null default 0;
