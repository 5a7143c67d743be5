/** The form of an id as clients write it. PostgreSQL and JSON Schema's own `uuid` take more forms than we give out. */
export const UUID_FORM = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/
