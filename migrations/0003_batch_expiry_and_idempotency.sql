ALTER TABLE "batches" ADD COLUMN "expires_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "batches" ADD COLUMN "idempotency_key" text collate "C";--> statement-breakpoint
ALTER TABLE "batches" ADD COLUMN "idempotency_digest" "bytea";--> statement-breakpoint
CREATE UNIQUE INDEX "batches_idempotency_key" ON "batches" USING btree ("pool_id","idempotency_key") WHERE idempotency_key is not null;