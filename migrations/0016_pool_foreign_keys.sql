-- What belongs to a pool or a target is deleted with it. A request that finds a target and then adds a run for it cannot leave
-- a run without a target any more, nor a target or template without a pool.
-- `scopes`, `states` and `tombstones` have no foreign key on purpose: triggers write them at each commit, up to one tombstone
-- for each deleted user, and every row would cost a look-up and a lock of the pool's row. Their pool_id comes from
-- `part_changes`, which has a foreign key. `audit_events` names pools as text, since it outlives them.
delete from sync_runs r where not exists (select from targets t where t.pool_id = r.pool_id and t.name = r.target);
--> statement-breakpoint
delete from sync_runs r where not exists (select from pools p where p.id = r.pool_id);
--> statement-breakpoint
delete from targets t where not exists (select from pools p where p.id = t.pool_id);
--> statement-breakpoint
delete from templates t where not exists (select from pools p where p.id = t.pool_id);
--> statement-breakpoint
alter table targets add constraint targets_pool foreign key (pool_id) references pools (id) on delete cascade;
--> statement-breakpoint
alter table templates add constraint templates_pool foreign key (pool_id) references pools (id) on delete cascade;
--> statement-breakpoint
alter table sync_runs add constraint sync_runs_of_target
  foreign key (pool_id, target) references targets (pool_id, name) on delete cascade;
--> statement-breakpoint
alter table batches drop constraint batches_pool_id_fkey;
--> statement-breakpoint
alter table batches add constraint batches_pool foreign key (pool_id) references pools (id) on delete cascade;
