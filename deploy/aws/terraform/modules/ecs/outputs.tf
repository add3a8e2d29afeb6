output "service_name" {
  description = "Name of the service."
  value       = aws_ecs_service.exporter.name
}

output "security_group_id" {
  description = "Security group of the exporter."
  value       = aws_security_group.exporter.id
}

output "file_system_id" {
  description = "File system that holds the state."
  value       = aws_efs_file_system.state.id
}

output "log_group_name" {
  description = "Log group of the exporter."
  value       = aws_cloudwatch_log_group.exporter.name
}
