output "role_arn" {
  description = "ARN of the role: what a service account, a task or another account's configuration names."
  value       = aws_iam_role.exporter.arn
}

output "role_name" {
  description = "Name of the role."
  value       = aws_iam_role.exporter.name
}

output "instance_profile_name" {
  description = "Instance profile that gives the role to an EC2 instance; null for other kinds of trust."
  value       = one(aws_iam_instance_profile.exporter[*].name)
}
