CREATE TABLE "encryption_key_check" (
	"id" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"ciphertext" "bytea" NOT NULL,
	CONSTRAINT "encryption_key_check_one_row" CHECK (id)
);
--> statement-breakpoint
ALTER TABLE "states" DROP CONSTRAINT "states_commit";--> statement-breakpoint
ALTER TABLE "states" ALTER COLUMN "recorded_at" SET DEFAULT clock_timestamp();--> statement-breakpoint
ALTER TABLE "batches" ADD COLUMN "kind" text DEFAULT 'creation' NOT NULL;--> statement-breakpoint
ALTER TABLE "states" ADD COLUMN "pruned_at" timestamp with time zone;--> statement-breakpoint
CREATE INDEX "states_pruned" ON "states" USING btree ("pool_id","batch_id","test_users_only","bulk_users_only","version") WHERE pruned_at is not null;--> statement-breakpoint
CREATE INDEX "users_created" ON "users" USING btree ("pool_id","created_at","username" DESC NULLS FIRST);--> statement-breakpoint
ALTER TABLE "states" ADD CONSTRAINT "states_commit" UNIQUE("pool_id","commit_id","batch_id","test_users_only","bulk_users_only");--> statement-breakpoint
ALTER TABLE "batches" ADD CONSTRAINT "batches_kind" CHECK (kind in ('creation', 'import'));