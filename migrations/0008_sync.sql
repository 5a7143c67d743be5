CREATE TABLE "sync_runs" (
	"pool_id" integer NOT NULL,
	"id" uuid DEFAULT uuid_v7() NOT NULL,
	"target" text collate "C" NOT NULL,
	"trigger" text NOT NULL,
	"full" boolean NOT NULL,
	"status" text DEFAULT 'queued' NOT NULL,
	"kind" text,
	"base" text collate "C",
	"state" text collate "C",
	"added_count" bigint DEFAULT 0 NOT NULL,
	"updated_count" bigint DEFAULT 0 NOT NULL,
	"deleted_count" bigint DEFAULT 0 NOT NULL,
	"sent_bytes" bigint DEFAULT 0 NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"failure" text,
	"detail" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"started_at" timestamp with time zone,
	"finished_at" timestamp with time zone,
	"holder" uuid,
	"lease_until" timestamp with time zone,
	CONSTRAINT "sync_runs_pool_id_id_pk" PRIMARY KEY("pool_id","id"),
	CONSTRAINT "sync_runs_trigger" CHECK (trigger in ('request', 'interval')),
	CONSTRAINT "sync_runs_status" CHECK (status in ('queued', 'running', 'succeeded', 'failed'))
);
--> statement-breakpoint
CREATE TABLE "targets" (
	"pool_id" integer NOT NULL,
	"name" text collate "C" NOT NULL,
	"url" text NOT NULL,
	"remote_pool" text collate "C" NOT NULL,
	"key_ciphertext" "bytea",
	"batch_id" uuid,
	"test_users_only" boolean NOT NULL,
	"bulk_users_only" boolean NOT NULL,
	"interval_seconds" integer,
	"next_run_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "targets_pool_id_name_pk" PRIMARY KEY("pool_id","name")
);
--> statement-breakpoint
CREATE INDEX "sync_runs_target" ON "sync_runs" USING btree ("pool_id","target","id");--> statement-breakpoint
CREATE UNIQUE INDEX "sync_runs_one_queued" ON "sync_runs" USING btree ("pool_id","target") WHERE status = 'queued';--> statement-breakpoint
CREATE UNIQUE INDEX "sync_runs_one_running" ON "sync_runs" USING btree ("pool_id","target") WHERE status = 'running';--> statement-breakpoint
CREATE INDEX "targets_due" ON "targets" USING btree ("next_run_at") WHERE next_run_at is not null;