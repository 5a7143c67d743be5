-- What a replica mirrors, which only matters while replica_since is set. A replica that holds users that are not test users keeps
-- mirroring everything.
alter table pools add column mirrors text not null default 'test_users' constraint pools_mirrors check (mirrors in ('test_users', 'everything'));
--> statement-breakpoint
update pools p set mirrors = 'everything'
where replica_since is not null and exists (select from users u where u.pool_id = p.id and not u.is_test_user);
